package main

import (
	"context"
	"fmt"
	"time"

	"quorumta/bench/load"
	"quorumta/bench/proc"
	"quorumta/bench/sink"
	"quorumta/bench/trial"
)

// liveDomain is where new mail goes that has nothing to do with the backlog.
const liveDomain = "live.example"

// other is a next hop beside those of the backlog, and what a relay with an
// empty queue did for it.
type other struct {
	trial    *trial.Trial
	hop      *sink.Sink
	sessions int
	size     int
	// relays is what reaches the hop at most, and offered what is sent while a
	// backlog drains, messages a second.
	relays, offered float64
}

// relayAlone measures what reaches the hop through an empty queue, as fast as
// it goes and at a share of that.
func (o *other) relayAlone(ctx context.Context, d time.Duration, share float64) error {
	fast, _, err := o.run(ctx, d, 0)
	if err != nil {
		return err
	}
	o.relays, o.offered = fast, fast*share
	rate, r, err := o.run(ctx, d, o.offered)
	if err != nil {
		return err
	}
	fmt.Printf("empty queue: relayed %.0f/s at most; of %.0f/s offered %.0f/s, dot p50 %.1f ms, p99 %.1f ms\n",
		o.relays, o.offered, rate, r.Latency.P50, r.Latency.P99)
	return o.trial.WaitEmpty(ctx)
}

// run sends for a time, and gives the rate at which mail reached the hop.
func (o *other) run(ctx context.Context, d time.Duration, rate float64) (float64, load.Report, error) {
	before, began := o.hop.Stats().Recipients, time.Now()
	r, err := o.trial.Load(ctx, load.Options{
		Sessions: o.sessions, Size: o.size, Rate: rate, Duration: d, Domains: []string{liveDomain},
	})
	return float64(o.hop.Stats().Recipients-before) / time.Since(began).Seconds(), r, err
}

// measureBeside measures how a backlog drains alone, and then beside new mail; drained
// tells how much of it has arrived.
func (o *other) measureBeside(ctx context.Context, d time.Duration, drained func() int64) error {
	const underWay = 1000
	for drained() < underWay {
		if err := proc.Sleep(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	before, began := drained(), time.Now()
	if err := proc.Sleep(ctx, d); err != nil {
		return err
	}
	alone := float64(drained()-before) / time.Since(began).Seconds()
	before, began = drained(), time.Now()
	rate, r, err := o.run(ctx, d, o.offered)
	if err != nil {
		return err
	}
	with := float64(drained()-before) / time.Since(began).Seconds()
	fmt.Printf("drains alone at %.0f/s, %.0f %% of what relays; beside new mail at %.0f/s, of which %.0f/s offered were %.0f/s relayed (%.0f %%), dot p50 %.1f ms, p99 %.1f ms\n",
		alone, 100*alone/o.relays, with, o.offered, rate, 100*rate/o.offered, r.Latency.P50, r.Latency.P99)
	return nil
}
