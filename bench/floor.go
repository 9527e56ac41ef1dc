package main

import (
	"context"

	"quorumta/bench/floor"
	"quorumta/bench/subject"
)

// floorCmd is bench floor.
type floorCmd struct {
	gridFlags
	Held bool `help:"Nothing leaves: only acceptance is measured."`
}

// Run measures the floor.
func (c *floorCmd) Run(ctx context.Context) error {
	p := c.plan()
	p.Held = c.Held
	p.Kinds = []subject.Kind{floor.Kind(c.Held)}
	return c.compare(ctx, p)
}

// floorNodeCmd is one process of the floor.
type floorNodeCmd struct {
	SMTP   string   `required:"" name:"smtp"`
	Link   string   `required:""`
	Others []string `required:""`
	Log    string   `required:"" type:"path"`
	Hop    string
}

// Run serves until it is killed.
func (c *floorNodeCmd) Run(ctx context.Context) error {
	return floor.Node{SMTP: c.SMTP, Link: c.Link, Others: c.Others, Log: c.Log, Hop: c.Hop}.Run(ctx)
}
