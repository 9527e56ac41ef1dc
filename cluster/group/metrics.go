package group

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// instruments are a group's metrics; all carry the shard.
type instruments struct {
	shard    metric.MeasurementOption
	commit   metric.Float64Histogram
	apply    metric.Float64Histogram
	entries  metric.Int64Counter
	offices  metric.Int64Counter
	takeover metric.Int64Counter
	resigns  metric.Int64Counter
	reopens  metric.Int64Counter
	skips    metric.Int64Counter
	term     metric.Int64Gauge
	leading  metric.Int64Gauge
	leader   metric.Int64Gauge
	lag      metric.Int64Gauge
}

func newInstruments(m metric.Meter, shard uint16) (*instruments, error) {
	i := &instruments{shard: metric.WithAttributeSet(attribute.NewSet(attribute.Int("shard", int(shard))))}
	var errs []error
	histogram := func(name, what string) metric.Float64Histogram {
		h, err := m.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(what),
			metric.WithExplicitBucketBoundaries(.0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10))
		errs = append(errs, err)
		return h
	}
	counter := func(name, what string) metric.Int64Counter {
		c, err := m.Int64Counter(name, metric.WithDescription(what))
		errs = append(errs, err)
		return c
	}
	gauge := func(name, what string) metric.Int64Gauge {
		g, err := m.Int64Gauge(name, metric.WithDescription(what))
		errs = append(errs, err)
		return g
	}
	i.commit = histogram("quorumta_raft_commit_seconds", "From proposing an entry to having applied it.")
	i.apply = histogram("quorumta_raft_apply_seconds", "Folding a batch of entries.")
	i.entries = counter("quorumta_raft_entries_applied", "Entries folded.")
	i.offices = counter("quorumta_raft_offices", "Times this node took the office.")
	i.takeover = counter("quorumta_raft_takeovers", "Elections begun early because the leader was dead.")
	i.resigns = counter("quorumta_raft_resignations", "Times the office was offered to another because this node's disk hung.")
	i.reopens = counter("quorumta_raft_reopens", "Times the replica was closed and opened again in place.")
	i.skips = counter("quorumta_raft_entries_skipped", "Entries that were skipped because their fold panics.")
	i.term = gauge("quorumta_raft_term", "Raft's term.")
	i.leading = gauge("quorumta_raft_leading", "1 while this node holds the office.")
	i.leader = gauge("quorumta_raft_has_leader", "1 while a leader is known.")
	i.lag = gauge("quorumta_raft_apply_lag_entries", "Entries committed as far as known and not applied.")
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("make metrics: %w", err)
	}
	return i, nil
}

func (i *instruments) committed(d time.Duration) {
	i.commit.Record(context.Background(), d.Seconds(), i.shard)
}

func (i *instruments) applied(d time.Duration, entries int) {
	i.apply.Record(context.Background(), d.Seconds(), i.shard)
	i.entries.Add(context.Background(), int64(entries), i.shard)
}

func (i *instruments) entered()  { i.offices.Add(context.Background(), 1, i.shard) }
func (i *instruments) tookOver() { i.takeover.Add(context.Background(), 1, i.shard) }
func (i *instruments) resigned() { i.resigns.Add(context.Background(), 1, i.shard) }
func (i *instruments) skipped()  { i.skips.Add(context.Background(), 1, i.shard) }
func (i *instruments) reopened() { i.reopens.Add(context.Background(), 1, i.shard) }

// observe sets the gauges.
func (i *instruments) observe(r *replica) {
	ctx := context.Background()
	_, leader := r.raft.LeaderWithID()
	i.term.Record(ctx, int64(r.raft.CurrentTerm()), i.shard)
	i.leading.Record(ctx, number(r.office.Load() != 0), i.shard)
	i.leader.Record(ctx, number(leader != ""), i.shard)
	i.lag.Record(ctx, int64(r.raft.CommitIndex())-int64(r.applied()), i.shard)
}

func number(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
