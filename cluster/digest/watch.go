package digest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

const (
	// look is how often the shards led here are looked at; one is compared when
	// its lead is new and then at the interval, where something has happened.
	look           = 5 * time.Second
	interval       = time.Minute
	verdictTimeout = 5 * time.Second
)

// ErrWrong is why a replica stops that a majority of the others disagreed with.
var ErrWrong = errors.New("the replica differs from a majority of the others; " +
	"let the node rejoin as new: empty its data directory, then quorumta cluster join")

// Options reach the replicas; every field is needed.
type Options struct {
	Self string // the node's name
	// Led are the shards whose office this node holds.
	Led func() []Led
	// Voters are who votes in a shard that is led here.
	Voters func(shard uint16) []Voter
	// Mark proposes a mark; At waits until this node's replica has come to it
	// and says what it was there.
	Mark func(ctx context.Context, shard uint16, id [16]byte, deep bool) (mark []byte, err error)
	At   func(ctx context.Context, shard uint16, mark []byte) (Replica, error)
	// Applied is what this node's replica has applied.
	Applied func(shard uint16) uint64
	// Stop stops this node's replica for good.
	Stop func(shard uint16, why error)
	// Ask calls a method of another node, or of this one.
	Ask func(ctx context.Context, node, method string, request, answer any) error
	// Scrub is how often whole states are compared.
	Scrub time.Duration
	Log   *slog.Logger
	Meter metric.Meter
}

// Voter is a replica that votes. Gone: its incarnation is not the node's any
// more. Silent: the node has not answered lately.
type Voter struct {
	Node         string
	Gone, Silent bool
}

// Led is a shard whose office this node holds.
type Led struct {
	Shard  uint16
	Term   uint64
	Commit uint64
}

// Comparer compares the replicas of the shards led here from time to time. Its
// methods are safe for concurrent use.
type Comparer struct {
	o      Options
	differ metric.Int64Gauge

	mu       sync.Mutex // guards the rest
	doubts   map[uint16]bool
	differed map[uint16]bool
	scrubbed map[uint16]time.Time
}

// Verdict tells a node what came of a comparison.
type Verdict struct {
	Shard uint16 `json:"shard"`
	Deep  bool   `json:"deep"`
	// Doubt: the replicas differ, and no majority is equal.
	Doubt bool `json:"doubt"`
	// Wrong: a majority is equal, and this node's replica is not like it.
	Wrong bool `json:"wrong"`
}

// New makes a comparer.
func New(o Options) (*Comparer, error) {
	differ, err := o.Meter.Int64Gauge("quorumta_raft_digest_differs",
		metric.WithDescription("1 while the replicas of a shard led here are not equal."))
	if err != nil {
		return nil, fmt.Errorf("make metrics: %w", err)
	}
	return &Comparer{o: o, differ: differ, doubts: map[uint16]bool{}, differed: map[uint16]bool{}, scrubbed: map[uint16]time.Time{}}, nil
}

// last is the last comparison of a shard.
type last struct {
	term, commit uint64
	at           time.Time
}

// Run compares until ctx ends. Every shard's states are compared whole once in
// Options.Scrub, whoever leads it, as long as the nodes run.
func (c *Comparer) Run(ctx context.Context) {
	compared := map[uint16]last{}
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		for _, l := range c.o.Led() {
			was := compared[l.Shard]
			deep := c.scrubDue(l.Shard)
			resting := was.term == l.Term && (was.commit == l.Commit || time.Since(was.at) < interval)
			if len(c.o.Voters(l.Shard)) < 2 || (resting && !deep) {
				continue
			}
			if err := c.examine(ctx, Request{Shard: l.Shard, Deep: deep}); err != nil {
				c.o.Log.Debug("the replicas could not be compared", "shard", l.Shard, "err", err)
				continue
			}
			compared[l.Shard] = last{term: l.Term, commit: c.o.Applied(l.Shard), at: time.Now()}
		}
	}
}

// scrubDue reports whether the shard's states are to be compared whole. The
// first time counts from when it was first led here.
func (c *Comparer) scrubDue(shard uint16) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.scrubbed[shard].IsZero() {
		c.scrubbed[shard] = time.Now()
	}
	return time.Since(c.scrubbed[shard]) >= c.o.Scrub
}

// examine compares a shard and tells every voter what came of it.
func (c *Comparer) examine(ctx context.Context, r Request) error {
	d, err := c.compare(ctx, r, 0)
	if err != nil {
		return err
	}
	wrong, doubt := d.judge()
	c.alarm(ctx, d)
	if d.Differs() {
		c.o.Log.Error("the replicas of a shard differ", "shard", r.Shard, "wrong", wrong, "doubt", doubt, "replicas", d.Replicas)
	}
	var telling sync.WaitGroup
	for _, replica := range d.Replicas {
		telling.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, verdictTimeout)
			defer cancel()
			v := Verdict{Shard: r.Shard, Deep: r.Deep, Doubt: doubt}
			for _, name := range wrong {
				v.Wrong = v.Wrong || name == replica.Node
			}
			if err := c.o.Ask(ctx, replica.Node, MethodVerdict, v, &struct{}{}); err != nil {
				c.o.Log.Info("a node does not hear what came of a comparison", "shard", r.Shard, "member", replica.Node, "err", err)
			}
		})
	}
	telling.Wait()
	return nil
}

// alarm sets the gauge. It stays up while a replica is stopped for it: until all
// answer and are equal.
func (c *Comparer) alarm(ctx context.Context, d Shard) {
	c.mu.Lock()
	defer c.mu.Unlock()
	silent := slices.ContainsFunc(d.Replicas, func(r Replica) bool { return r.Error != "" })
	c.differed[d.ID] = d.Differs() || (c.differed[d.ID] && silent)
	is := int64(0)
	if c.differed[d.ID] {
		is = 1
	}
	c.differ.Record(ctx, is, metric.WithAttributes(attribute.Int("shard", int(d.ID))))
}

// Hear acts on a verdict about this node's replica.
func (c *Comparer) Hear(_ context.Context, v Verdict) (struct{}, error) {
	c.mu.Lock()
	had := c.doubts[v.Shard]
	c.doubts[v.Shard] = v.Doubt
	if v.Deep {
		c.scrubbed[v.Shard] = time.Now()
	}
	c.mu.Unlock()
	switch {
	case v.Wrong:
		c.o.Stop(v.Shard, ErrWrong)
	case v.Doubt && !had:
		c.o.Log.Error("the replicas of a shard differ and no majority is equal: mail is accepted and not delivered until one is; "+
			"find out which is right with quorumta cluster digest --deep", "shard", v.Shard)
	case had && !v.Doubt:
		c.o.Log.Info("a majority of a shard's replicas is equal again: delivery goes on", "shard", v.Shard)
	}
	return struct{}{}, nil
}

// Doubted reports whether nothing of the shard may be delivered, because its
// replicas differ and no majority is equal.
func (c *Comparer) Doubted(shard uint16) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.doubts[shard]
}
