package depth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"quorumta/bench/load"
	"quorumta/bench/sink"
	"quorumta/bench/subject"
	"quorumta/bench/work"
)

// Recovery is how a relay that was killed with a full queue comes back; times
// are seconds after it was started again.
type Recovery struct {
	Subject string `json:"subject"`
	Round   int    `json:"round"`
	Queued  int64  `json:"queued"`
	// Accepted is when a client that tried all the time had a message taken,
	// Ready when the relay called itself ready, First when the first queued
	// message arrived, All when the last did.
	Accepted float64 `json:"accepted_s"`
	Ready    float64 `json:"ready_s"`
	First    float64 `json:"first_s"`
	All      float64 `json:"all_s"`
	// Delivered counts the queued messages that arrived in the time given;
	// Copies those that did twice.
	Delivered int64 `json:"delivered"`
	Copies    int64 `json:"second_copies"`
}

// RecoveryOptions says what is measured.
type RecoveryOptions struct {
	// Dir is where the subject runs.
	Dir string
	// Queued messages of Size bytes come over Sessions.
	Queued   int64
	Size     int
	Sessions int
	// Drain is how long they may take to arrive after the restart.
	Drain time.Duration
}

// Recover fills a subject while its next hop refuses, kills it, lets the hop
// come back, and starts it again.
func Recover(ctx context.Context, k subject.Kind, o RecoveryOptions) (r Recovery, err error) {
	r = Recovery{Subject: k.Name, Queued: o.Queued, Accepted: -1, First: -1, All: -1}
	hop, err := work.NewHop(sink.Mode{Action: sink.Refuse})
	if err != nil {
		return r, err
	}
	defer hop.Close()
	s, remove, err := k.Make(o.Dir, hop.Address())
	if err != nil {
		return r, err
	}
	defer remove()
	defer func() { err = errors.Join(err, s.Stop()) }()
	if err := s.Start(ctx); err != nil {
		return r, err
	}
	if err := o.fill(ctx, s); err != nil {
		return r, err
	}
	if err := s.Stop(); err != nil {
		return r, err
	}
	if err := hop.SetMode(sink.Mode{}); err != nil {
		return r, err
	}
	return r, o.restart(ctx, s, hop, &r)
}

func (o RecoveryOptions) fill(ctx context.Context, s subject.Subject) error {
	l, err := load.New(load.Options{Targets: s.Addresses(), Sessions: o.Sessions, Count: o.Queued, Size: o.Size,
		ConnectTimeout: 10 * time.Second, DotTimeout: 5 * time.Minute})
	if err != nil {
		return err
	}
	if r := l.Run(ctx); r.Acknowledged != o.Queued {
		return fmt.Errorf("%d of %d messages were queued: %v", r.Acknowledged, o.Queued, r.Refusals[:min(1, len(r.Refusals))])
	}
	return nil
}

// restart starts the subject, with a client that tries to send all the while.
func (o RecoveryOptions) restart(ctx context.Context, s subject.Subject, hop *work.Hop, r *Recovery) error {
	began := time.Now()
	accepted := make(chan float64, 1)
	probing, stop := context.WithTimeout(ctx, o.Drain)
	defer stop()
	go func() { accepted <- o.probe(probing, s.Addresses(), began) }()
	ready := make(chan error, 1)
	go func() {
		err := s.Start(ctx)
		r.Ready = time.Since(began).Seconds()
		ready <- err
	}()
	first, got := hop.Wait(ctx, 0, 1, o.Drain, o.Drain)
	if got > 0 {
		r.First = first.Sub(began).Seconds()
	}
	if err := <-ready; err != nil {
		return err
	}
	r.Accepted = <-accepted
	want := o.Queued
	if r.Accepted >= 0 {
		want++ // the probe
	}
	last, got := hop.Wait(ctx, 0, want, o.Drain, o.Drain)
	if got >= want {
		r.All = last.Sub(began).Seconds()
	}
	r.Delivered = min(got, o.Queued)
	stats := hop.Stats()
	r.Copies = stats.Copies - stats.Recipients
	return ctx.Err()
}

// probe sends one message again and again until it is taken, and says when
// that was; negative: not before ctx ended.
func (o RecoveryOptions) probe(ctx context.Context, addresses []string, began time.Time) float64 {
	for ctx.Err() == nil {
		l, err := load.New(load.Options{Targets: addresses, Sessions: 1, Count: 1, Size: o.Size, From: "probe@bench.example"})
		if err != nil {
			return -1
		}
		if r := l.Run(ctx); r.Acknowledged == 1 {
			return r.Ended.Sub(began).Seconds()
		}
	}
	return -1
}
