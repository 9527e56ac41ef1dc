package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"quorumta/bench/rejoin"
)

// rejoinCmd is bench rejoin.
type rejoinCmd struct {
	Binary   string `help:"The program: go build -o quorumta ./cmd/quorumta." required:"" type:"existingfile"`
	Queued   int64  `help:"Messages that wait for a dead next hop." default:"100000"`
	Size     int    `help:"Bytes of a message." default:"10000"`
	Sessions int    `help:"Sessions, spread over all nodes." default:"32"`
	LogKeep  string `help:"cluster.log_keep of the nodes; less than the queue means that a snapshot is needed."`
	Dir      string `help:"Keep configurations, data and logs here." type:"path"`
	JSON     string `help:"Write the report here." type:"path" name:"json"`
}

// Run measures and fails where something was lost, or too little of the rate
// was left.
func (c *rejoinCmd) Run(ctx context.Context) error {
	report, err := rejoin.Measure(ctx, rejoin.Options{
		Binary: c.Binary, Dir: c.Dir, Queued: c.Queued, Size: c.Size, Sessions: c.Sessions, LogKeep: c.LogKeep,
	}, func(line string) { fmt.Fprintln(os.Stderr, line) })
	if len(report.Phases) > 0 {
		err = errors.Join(err, report.Print(os.Stdout), writeJSON(c.JSON, report))
	}
	if err == nil && !report.OK() {
		err = errVerdict
	}
	return err
}
