package main

import (
	"context"

	"quorumta/bench/floor"
	"quorumta/bench/work"
)

// relayCmd is bench relay.
type relayCmd struct {
	clusterFlags
	gridFlags
	Floor bool `help:"Measure the floor too, and give shares of it."`
}

// Run measures clusters end to end.
func (c *relayCmd) Run(ctx context.Context) error {
	p := c.plan()
	p.Kinds = c.kinds()
	return c.compareFloor(ctx, p, c.Floor)
}

// acceptCmd is bench accept.
type acceptCmd struct {
	clusterFlags
	gridFlags
	Floor bool `help:"Measure the floor too, and give shares of it."`
}

// Run measures how fast clusters accept while nothing leaves them.
func (c *acceptCmd) Run(ctx context.Context) error {
	p := c.plan()
	p.Kinds = c.kinds()
	p.Held = true
	return c.compareFloor(ctx, p, c.Floor)
}

// compareFloor carries a plan out, with the floor where it is wanted.
func (f gridFlags) compareFloor(ctx context.Context, p work.Plan, with bool) error {
	if !with {
		return f.compare(ctx, p)
	}
	p.Kinds = append(p.Kinds, floor.Kind(p.Held))
	return f.compare(ctx, p, "floor")
}
