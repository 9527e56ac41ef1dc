package faults

import (
	"context"
	"errors"
	"time"

	"quorumta/bench/netns"
)

// cut cuts ways that a leader's host and the others lead to, and heals them.
func cut(ctx context.Context, r *round, ways func(victim *netns.Host, others []*netns.Host) []netns.Way) error {
	v, err := r.leader(ctx)
	if err != nil {
		return err
	}
	err = r.strike(ctx, func() error { return r.lab.Cut(ctx, ways(v.host, r.lab.Others(v.host))...) }, v)
	if err == nil {
		err = r.hold(ctx)
	}
	return errors.Join(err, r.lab.Heal(context.WithoutCancel(ctx)))
}

func cutOff(ctx context.Context, r *round) error {
	return cut(ctx, r, func(v *netns.Host, others []*netns.Host) []netns.Way { return netns.Between(v, others...) })
}

func cutDeaf(ctx context.Context, r *round) error {
	return cut(ctx, r, func(v *netns.Host, others []*netns.Host) []netns.Way { return netns.To(v, others...) })
}

func cutMute(ctx context.Context, r *round) error {
	return cut(ctx, r, func(v *netns.Host, others []*netns.Host) []netns.Way { return netns.From(v, others...) })
}

func cutOne(ctx context.Context, r *round) error {
	return cut(ctx, r, func(v *netns.Host, others []*netns.Host) []netns.Way {
		return netns.Between(v, others[r.random.IntN(len(others))])
	})
}

func cutAll(ctx context.Context, r *round) error {
	var ways []netns.Way
	for _, h := range r.lab.Hosts {
		ways = append(ways, netns.To(h, r.lab.Others(h)...)...)
	}
	err := r.strike(ctx, func() error { return r.lab.Cut(ctx, ways...) }, r.members...)
	if err == nil {
		err = r.hold(ctx)
	}
	return errors.Join(err, r.lab.Heal(context.WithoutCancel(ctx)))
}

// cutFlapping cuts one leader off again and again, for times around those that
// its peers wait.
func cutFlapping(ctx context.Context, r *round) error {
	v, err := r.leader(ctx)
	if err != nil {
		return err
	}
	r.victim = append(r.victim, v.Name)
	for until := time.Now().Add(r.o.hold()); err == nil && time.Now().Before(until); {
		err = r.lab.Cut(ctx, netns.Between(v.host, r.lab.Others(v.host)...)...)
		sleep(ctx, r.between(200*time.Millisecond, 2*time.Second))
		err = errors.Join(err, r.lab.Heal(context.WithoutCancel(ctx)))
		sleep(ctx, r.between(200*time.Millisecond, 1500*time.Millisecond))
	}
	return errors.Join(err, ctx.Err())
}

// shape makes the lines between all nodes bad.
func shape(ctx context.Context, r *round, s netns.Shape) error {
	stop, err := r.lab.Shape(ctx, s)
	if err != nil {
		return err
	}
	return errors.Join(r.hold(ctx), stop())
}

func delay(ctx context.Context, r *round) error {
	return shape(ctx, r, netns.Shape{Delay: 50 * time.Millisecond, Jitter: 10 * time.Millisecond})
}

func reorder(ctx context.Context, r *round) error {
	return shape(ctx, r, netns.Shape{Delay: time.Millisecond, Jitter: 29 * time.Millisecond})
}

func loss(ctx context.Context, r *round) error {
	return shape(ctx, r, netns.Shape{Loss: 0.1})
}
