package faults

import (
	"context"
	"errors"
	"time"

	"quorumta/bench/inject"
	"quorumta/bench/sink"
)

// clock moves a leader's clock, and back.
func clock(ctx context.Context, r *round, offset time.Duration) error {
	v, err := r.leader(ctx)
	if err != nil {
		return err
	}
	err = r.strike(ctx, func() error { return inject.SetClock(v.PID(), offset) }, v)
	r.fault.Shards = nil // nobody takes anything over
	if err == nil {
		err = r.hold(ctx)
	}
	if !v.Running() {
		return err
	}
	return errors.Join(err, inject.SetClock(v.PID(), 0))
}

func clockAhead(ctx context.Context, r *round) error { return clock(ctx, r, 6*24*time.Hour) }
func clockBack(ctx context.Context, r *round) error  { return clock(ctx, r, -24*time.Hour) }

func namesGone(ctx context.Context, r *round) error {
	r.names.Lose()
	defer r.names.Find()
	return r.hold(ctx)
}

// remote has the next hop misbehave for a while.
func remote(ctx context.Context, r *round, m sink.Mode) error {
	if err := r.sink(m); err != nil {
		return err
	}
	return errors.Join(r.hold(ctx), r.sink(sink.Mode{Delay: sink.Duration(hopTakes)}))
}

func remoteTarpit(ctx context.Context, r *round) error {
	return remote(ctx, r, sink.Mode{Delay: sink.Duration(5 * time.Second)})
}

func remoteSilent(ctx context.Context, r *round) error {
	return remote(ctx, r, sink.Mode{Action: sink.Silent})
}

func remoteDefers(ctx context.Context, r *round) error {
	return remote(ctx, r, sink.Mode{Action: sink.Defer})
}

func remoteCloses(ctx context.Context, r *round) error {
	return remote(ctx, r, sink.Mode{Action: sink.Close, Count: true, Percent: 30})
}
