// Package gauges publishes what a store takes of the machine.
package gauges

import (
	"context"
	"errors"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"quorumta/cluster/store"
	"quorumta/cluster/store/usage"
)

// observables are read at each scrape; those of a Pebble carry store="log" or
// store="state".
type observables struct {
	size, memtables, debt, written       metric.Int64Observable
	cache, free, reserve, stalls, filled metric.Int64Observable
}

// Publish has the meter's readers measure the store at each scrape, until stop is
// called, which comes before the store is closed.
func Publish(m metric.Meter, s *store.Store) (stop func() error, err error) {
	var errs []error
	var all []metric.Observable
	gauge := func(name, unit, what string) metric.Int64Observable {
		g, err := m.Int64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(what))
		errs, all = append(errs, err), append(all, g)
		return g
	}
	counter := func(name, unit, what string) metric.Int64Observable {
		c, err := m.Int64ObservableCounter(name, metric.WithUnit(unit), metric.WithDescription(what))
		errs, all = append(errs, err), append(all, c)
		return c
	}
	o := observables{
		size:      gauge("quorumta_raft_store_disk_bytes", "By", "What the store's files take."),
		memtables: gauge("quorumta_raft_store_memtable_bytes", "By", "Written and not flushed yet."),
		debt:      gauge("quorumta_raft_store_debt_bytes", "By", "What compactions still have to do."),
		written:   counter("quorumta_raft_store_written_bytes", "By", "Written to disk: WAL, flushes, compactions."),
		cache:     gauge("quorumta_raft_store_cache_bytes", "By", "Blocks in memory."),
		free:      gauge("quorumta_raft_disk_free_bytes", "By", "Free on the disk of the data directory."),
		reserve:   gauge("quorumta_raft_disk_reserve_bytes", "By", "What must stay free for outcomes to be recorded."),
		stalls:    counter("quorumta_raft_store_stalls", "1", "Times that writes waited for flushes or compactions."),
		filled:    counter("quorumta_raft_disk_full", "1", "Writes that found the disk full."),
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("make metrics: %w", err)
	}
	registration, err := m.RegisterCallback(func(_ context.Context, to metric.Observer) error {
		o.observe(to, s.Usage())
		return nil
	}, all...)
	if err != nil {
		return nil, fmt.Errorf("make metrics: %w", err)
	}
	return registration.Unregister, nil
}

func (o observables) observe(to metric.Observer, u store.Usage) {
	for name, p := range map[string]usage.Pebble{"log": u.Log, "state": u.State} {
		which := metric.WithAttributes(attribute.String("store", name))
		to.ObserveInt64(o.size, int64(p.Disk), which)
		to.ObserveInt64(o.memtables, int64(p.Memtables), which)
		to.ObserveInt64(o.debt, int64(p.Debt), which)
		for what, n := range map[string]uint64{"wal": p.WAL, "flush": p.Flushed, "compaction": p.Compacted} {
			to.ObserveInt64(o.written, int64(n), which, metric.WithAttributes(attribute.String("what", what)))
		}
	}
	to.ObserveInt64(o.cache, u.Cache)
	if u.Total > 0 {
		to.ObserveInt64(o.free, int64(u.Free))
	}
	to.ObserveInt64(o.reserve, int64(u.Reserve))
	to.ObserveInt64(o.stalls, u.Stalls)
	to.ObserveInt64(o.filled, u.Full)
}
