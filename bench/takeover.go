package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"quorumta/bench/takeover"
)

// takeoverCmd is bench takeover.
type takeoverCmd struct {
	Binary   string        `help:"The program: go build -o quorumta ./cmd/quorumta." required:"" type:"existingfile"`
	Nodes    int           `help:"Nodes of each cluster." default:"3"`
	Runs     int           `help:"How often." default:"10"`
	Pause    bool          `help:"SIGSTOP and later SIGCONT instead of SIGKILL."`
	PauseFor time.Duration `help:"How long a pause lasts." default:"8s"`
	For      time.Duration `help:"Load in each run; the fault strikes half-way." default:"20s"`
	Sessions int           `help:"Sessions, spread over all nodes." default:"50"`
	Rate     float64       `help:"Messages a second; 0: as fast as they go." default:"0"`
	Delay    time.Duration `help:"What the next hop takes for a message." default:"100ms"`
	JSON     string        `help:"Write the report here." type:"path" name:"json"`
}

// Run measures and fails where the promise was broken.
func (c *takeoverCmd) Run(ctx context.Context) error {
	report, err := takeover.Measure(ctx, takeover.Options{
		Binary: c.Binary, Nodes: c.Nodes, Runs: c.Runs, Pause: c.Pause, PauseFor: c.PauseFor,
		For: c.For, Sessions: c.Sessions, Rate: c.Rate, Delay: c.Delay,
	}, func(line string) { fmt.Fprintln(os.Stderr, line) })
	if err != nil {
		return err
	}
	if err := report.Print(os.Stdout); err != nil {
		return err
	}
	if err := writeJSON(c.JSON, report); err != nil {
		return err
	}
	if !report.OK() {
		return errVerdict
	}
	return nil
}
