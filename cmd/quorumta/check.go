package main

import (
	"errors"
	"fmt"
	"log/slog"

	"quorumta/cmd/quorumta/rules"
	"quorumta/internal/config"
)

// checkCmd reads a configuration over.
type checkCmd struct {
	Config string `help:"The file." required:"" type:"existingfile"`
	Node   string `help:"Which node of the file; without it, the file's own."`
	Force  bool   `help:"Let an even number of members pass."`
}

// Run prints everything that is wrong, a line each.
func (c *checkCmd) Run(s streams) error {
	f, err := load(s, c.Config, c.Node)
	if err != nil {
		return err
	}
	for _, w := range append(f.Warnings(), rules.Aliases(f)...) {
		fmt.Fprintln(s.Err, w)
	}
	if f.Even() && !c.Force {
		return fmt.Errorf("%s: %d members stop when half of them are lost, as %d do: take an odd number, or say --force", c.Config, len(f.Cluster.Members), len(f.Cluster.Members)-1)
	}
	_, err = fmt.Fprintln(s.Out, c.Config, "is fine")
	return err
}

// load reads a configuration, and prints everything that is wrong with it, a
// line each.
func load(s streams, path, node string) (*config.File, error) {
	f, err := config.Load(path, node)
	if err == nil {
		err = rules.Check(f)
	}
	if err == nil {
		_, err = rules.DNS(f)
	}
	if err == nil {
		_, err = rules.Outgoing(f, rules.Keys(slog.New(slog.DiscardHandler)), nil)
	}
	var faults config.Faults
	if errors.As(err, &faults) {
		for _, fault := range faults {
			fmt.Fprintln(s.Err, fault)
		}
		return nil, errSaid
	}
	return f, err
}
