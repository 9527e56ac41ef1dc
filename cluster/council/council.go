// Package council decides what becomes of the cluster's map, on the leader of
// the control group, and brings orders there.
package council

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"quorumta/cluster/control"
)

const (
	// interval is how often the control leader looks whether anything should
	// change.
	interval = time.Second
	// orderTimeout bounds an order whose caller sets no end; while the control
	// group has no leader it is asked for again after orderPause.
	orderTimeout = 10 * time.Second
	orderPause   = 200 * time.Millisecond
)

// Options reach the control group; every field is needed.
type Options struct {
	// Leader is who leads the control group, "" while nobody does.
	Leader func() string
	// Term is the term of this node's office in the control group.
	Term func() (term uint64, ok bool)
	// Propose has a change committed, and reports whether it was folded.
	Propose func(ctx context.Context, term uint64, change []byte) (folded bool, err error)
	// Map is the map as this node's replica of the control group has it; First
	// is the one to begin with.
	Map, First func() control.Map
	// Sight is what this node has seen of the others.
	Sight Sight
	// Ask has the leader carry an order out, by Here.
	Ask func(ctx context.Context, leader string, o Order) error
	// Again reports whether an order that failed so may be given once more.
	Again func(error) bool
	// NotLeader is the error where the control group cannot decide.
	NotLeader error
	Log       *slog.Logger
}

// Council is a node's place in the decisions. Its methods are safe for
// concurrent use.
type Council struct{ o Options }

// New makes a council.
func New(o Options) *Council { return &Council{o} }

// Run decides what should change, while this node leads the control group,
// until ctx ends.
func (c *Council) Run(ctx context.Context) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		if _, ok := c.o.Term(); ok {
			err := c.decide(ctx, func(m control.Map) ([]control.Event, error) { return control.Next(m, c.o.Sight.facts()), nil })
			if err != nil && ctx.Err() == nil && !c.o.Again(err) {
				c.o.Log.Warn("the map cannot be changed", "err", err)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// decide has the control group fold what is decided on its newest map; the
// first of all is the one that the cluster was founded with. It fails as
// Propose does, or with the decision's error.
func (c *Council) decide(ctx context.Context, decision func(control.Map) ([]control.Event, error)) error {
	for {
		term, ok := c.o.Term()
		if !ok {
			return fmt.Errorf("the control group: %w", c.o.NotLeader)
		}
		m, first := c.o.Map(), c.o.First()
		if err := ctx.Err(); err != nil {
			return err
		}
		if m.Version == 0 && first.Version > 0 {
			return fmt.Errorf("the control group's state is empty, and the cluster has map %d", first.Version)
		}
		events, err := []control.Event{{Kind: control.Founded, Map: &first}}, error(nil)
		if m.Version > 0 {
			events, err = decision(m)
		}
		if err != nil || len(events) == 0 {
			return err
		}
		change, err := control.Change{Base: m.Version, Time: time.Now().UTC(), Events: events}.Encode()
		if err != nil {
			return err
		}
		folded, err := c.o.Propose(ctx, term, change)
		if err != nil {
			return fmt.Errorf("the control group: %w", err)
		}
		if !folded {
			continue // decided on a map that is old by now
		}
		c.o.Log.Info("the map has changed", "change", string(change))
		if m.Version > 0 {
			return nil
		}
	}
}
