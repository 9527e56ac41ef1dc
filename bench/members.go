package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"quorumta/bench/members"
)

// membersCmd is bench members.
type membersCmd struct {
	Binary string        `help:"The program: go build -o quorumta ./cmd/quorumta." required:"" type:"existingfile"`
	Sizes  []int         `help:"Nodes, one size after the other." default:"1,3,5,3"`
	Rate   float64       `help:"Messages a second." default:"100"`
	Steady time.Duration `help:"Load at each size once all replicas are in place." default:"10s"`
	Dir    string        `help:"Keep configurations, data and logs here." type:"path"`
	JSON   string        `help:"Write the report here." type:"path" name:"json"`
}

// Run changes the cluster's size and fails where something was lost or refused.
func (c *membersCmd) Run(ctx context.Context) error {
	report, err := members.Run(ctx, members.Options{
		Binary: c.Binary, Dir: c.Dir, Sizes: c.Sizes, Rate: c.Rate, Steady: c.Steady,
	}, func(line string) { fmt.Fprintln(os.Stderr, line) })
	if len(report.Stages) > 0 {
		err = errors.Join(err, report.Print(os.Stdout), writeJSON(c.JSON, report))
	}
	if err == nil && !report.OK() {
		err = errVerdict
	}
	return err
}
