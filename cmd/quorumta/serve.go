package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
)

// serveCmd runs one node.
type serveCmd struct {
	Config string `help:"The node's configuration." required:"" type:"existingfile"`
	Node   string `help:"Which node of the file; without it, the file's own."`
}

// Run runs the node until SIGTERM has drained it.
func (c *serveCmd) Run(ctx context.Context, s streams) error {
	f, err := load(s, c.Config, c.Node)
	if err != nil {
		return err
	}
	boundMemory()
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	return runNode(ctx, f, version(), hup)
}

// memoryGoal is what the collector keeps a node's memory at, bytes. Most of it
// is caches and memtables, which last: letting garbage double them, as the
// collector would by itself, doubles the node for nothing.
const memoryGoal = 450 << 20

// boundMemory sets the goal, unless GOMEMLIMIT does.
func boundMemory() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryGoal)
	}
}
