package faults

import (
	"context"
	"syscall"
	"time"
)

// kill ends the victims and lets the others do without them.
func kill(ctx context.Context, r *round, victims ...*member) error {
	err := r.strike(ctx, func() error {
		for _, v := range victims {
			v.Kill()
		}
		return nil
	}, victims...)
	if err != nil {
		return err
	}
	return r.hold(ctx)
}

func killLeader(ctx context.Context, r *round) error {
	v, err := r.leader(ctx)
	if err != nil {
		return err
	}
	return kill(ctx, r, v)
}

func killFollower(ctx context.Context, r *round) error {
	v, err := r.follower(ctx)
	if err != nil {
		return err
	}
	return kill(ctx, r, v)
}

func killMajority(ctx context.Context, r *round) error {
	return kill(ctx, r, r.some(r.majority())...)
}

// killAll starts all nodes again at once: nothing serves meanwhile.
func killAll(ctx context.Context, r *round) error {
	err := r.strike(ctx, func() error {
		for _, m := range r.members {
			_ = m.Signal(syscall.SIGKILL) // all before the first is waited for
		}
		r.trial.Cluster.Kill()
		return nil
	}, r.members...)
	if err != nil {
		return err
	}
	for _, m := range r.members {
		if err := m.Start(); err != nil {
			return err
		}
	}
	return r.hold(ctx)
}

func pauseLeader(ctx context.Context, r *round) error {
	v, err := r.leader(ctx)
	if err != nil {
		return err
	}
	if err := r.strike(ctx, func() error { return v.Signal(syscall.SIGSTOP) }, v); err != nil {
		return err
	}
	held := r.hold(ctx)
	if err := v.Signal(syscall.SIGCONT); err != nil {
		return err
	}
	return held
}

// pauseOften pauses for around the lease, so that a leader wakes up now before
// and now after another was elected.
func pauseOften(ctx context.Context, r *round) error {
	for until := time.Now().Add(r.o.hold()); time.Now().Before(until); {
		v, err := r.leader(ctx)
		if err != nil {
			return err
		}
		if err := v.Signal(syscall.SIGSTOP); err != nil {
			return err
		}
		r.victim = append(r.victim, v.Name)
		sleep(ctx, r.between(400*time.Millisecond, 2500*time.Millisecond))
		if err := v.Signal(syscall.SIGCONT); err != nil {
			return err
		}
		if err := r.wait(ctx, r.between(200*time.Millisecond, time.Second)); err != nil {
			return err
		}
	}
	return nil
}

// between draws a time.
func (r *round) between(least, most time.Duration) time.Duration {
	return least + time.Duration(r.random.Int64N(int64(most-least)))
}

// rollingRestart ends and starts one node after the other.
func rollingRestart(ctx context.Context, r *round) error {
	for _, m := range r.members {
		r.victim = append(r.victim, m.Name)
		if err := m.Stop(ctx); err != nil {
			return err
		}
		if err := m.Start(); err != nil {
			return err
		}
		if err := m.WaitReady(ctx); err != nil {
			return err
		}
	}
	return nil
}
