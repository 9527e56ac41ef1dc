package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"quorumta/cmd/quorumta/demo"
)

// demoCmd shows a cluster at work.
type demoCmd struct {
	Nodes    int           `help:"Number of nodes." default:"3"`
	For      time.Duration `help:"How long load is made; 30s, with --chaos 60s."`
	Chaos    bool          `help:"Kill nodes with SIGKILL meanwhile."`
	Rate     float64       `help:"Messages a second, 10 KB each." default:"200"`
	Sessions int           `help:"Connections that carry them." default:"20"`
	Keep     bool          `help:"Leave configurations, data and logs behind, and say where."`
}

// Run shows the demo; its status is the verdict.
func (c *demoCmd) Run(ctx context.Context, s streams) error {
	if c.Nodes < 1 || c.Nodes%2 == 0 {
		return usageError{Text: "--nodes must be odd: half of an even number is no majority"}
	}
	if c.Chaos && c.Nodes < 3 {
		return usageError{Text: "--chaos needs 3 nodes or more: one must be spared"}
	}
	binary, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program to run it as nodes: %w", err)
	}
	if c.For == 0 {
		c.For = 30 * time.Second
		if c.Chaos {
			c.For = time.Minute
		}
	}
	return demo.Run(ctx, demo.Options{
		Binary: binary, Nodes: c.Nodes, For: c.For, Chaos: c.Chaos, Keep: c.Keep,
		Rate: c.Rate, Sessions: c.Sessions, Live: terminal(s.Out),
	}, s.Out)
}

// terminal reports whether what is printed can be rewritten.
func terminal(w any) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
}
