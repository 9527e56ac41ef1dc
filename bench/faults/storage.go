package faults

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"quorumta/bench/inject"
)

// trouble does something to a leader's disk and undoes it.
func trouble(ctx context.Context, r *round, do, undo func(*inject.Disk) error) error {
	v, err := r.leader(ctx)
	if err != nil {
		return err
	}
	err = r.strike(ctx, func() error { return do(v.disk) }, v)
	if err == nil {
		err = r.hold(ctx)
	}
	return errors.Join(err, undo(v.disk))
}

func diskFull(ctx context.Context, r *round) error {
	return trouble(ctx, r, func(d *inject.Disk) error { return d.Fill(0) }, (*inject.Disk).Empty)
}

// diskLow leaves half of the floor.
func diskLow(ctx context.Context, r *round) error {
	return trouble(ctx, r, func(d *inject.Disk) error { return d.Fill(50_000_000) }, (*inject.Disk).Empty)
}

func diskHangs(ctx context.Context, r *round) error {
	return trouble(ctx, r, (*inject.Disk).Freeze, (*inject.Disk).Thaw)
}

func diskSlow(ctx context.Context, r *round) error {
	return trouble(ctx, r, func(d *inject.Disk) error { return d.Slow(20) }, (*inject.Disk).Quick)
}

// diskFails: a node whose disk does not sync must end by itself.
func diskFails(ctx context.Context, r *round) error {
	v, err := r.leader(ctx)
	if err != nil {
		return err
	}
	if err := r.strike(ctx, v.disk.Fail, v); err != nil {
		return err
	}
	from := time.Now()
	for v.Running() && time.Since(from) < r.o.hold() {
		if err := r.wait(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	lives := v.Running()
	if err := r.wait(ctx, time.Until(from.Add(r.o.hold()))); err != nil {
		return err
	}
	v.Kill()
	if err := v.disk.Remount(ctx); err != nil {
		return err
	}
	if lives {
		return fmt.Errorf("%s still ran %v after its disk had failed", v.Name, r.o.hold())
	}
	return nil
}

// powerCut ends the victims with what they had not synced.
func powerCut(ctx context.Context, r *round, victims ...*member) error {
	err := r.strike(ctx, func() error {
		var errs []error
		for _, v := range victims {
			errs = append(errs, v.disk.Fail(), v.Signal(syscall.SIGKILL))
		}
		for _, v := range victims {
			v.Kill()
		}
		return errors.Join(errs...)
	}, victims...)
	if err == nil {
		err = r.hold(ctx)
	}
	for _, v := range victims {
		err = errors.Join(err, v.disk.Remount(ctx))
	}
	return err
}

func powerOne(ctx context.Context, r *round) error {
	v, err := r.leader(ctx)
	if err != nil {
		return err
	}
	return powerCut(ctx, r, v)
}

func powerMajority(ctx context.Context, r *round) error {
	return powerCut(ctx, r, r.some(r.majority())...)
}

func powerAll(ctx context.Context, r *round) error { return powerCut(ctx, r, r.members...) }
