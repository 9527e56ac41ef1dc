package main

import (
	"context"
	"errors"
)

// serveCmd runs one node.
type serveCmd struct {
	Config string `help:"The node's configuration." required:"" type:"existingfile"`
	Node   string `help:"Which node of the file; without it, the file's own."`
}

// Run runs the node until SIGTERM has drained it.
func (c *serveCmd) Run(_ context.Context) error { return errors.New("not wired") }
