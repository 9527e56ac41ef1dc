package main

import "context"

// relayCmd is bench relay.
type relayCmd struct {
	clusterFlags
	gridFlags
}

// Run measures clusters end to end.
func (c *relayCmd) Run(ctx context.Context) error {
	p := c.plan()
	p.Kinds = c.kinds()
	return c.compare(ctx, p)
}

// acceptCmd is bench accept.
type acceptCmd struct {
	clusterFlags
	gridFlags
}

// Run measures how fast clusters accept while nothing leaves them.
func (c *acceptCmd) Run(ctx context.Context) error {
	p := c.plan()
	p.Kinds = c.kinds()
	p.Held = true
	return c.compare(ctx, p)
}
