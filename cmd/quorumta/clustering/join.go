package clustering

import (
	"context"
	"fmt"
	"time"

	"quorumta/cmd/quorumta/console"
	"quorumta/cmd/quorumta/setup"
	"quorumta/internal/config"
	"quorumta/queue/event"
)

type joinCmd struct {
	Config string        `help:"Configuration of this node, which has its certificate and no data." required:"" type:"existingfile"`
	Wait   time.Duration `help:"How long the cluster may take." default:"30s"`
	JSON   bool          `help:"Print the stable form." name:"json"`
}

// Run has the cluster take this node back.
func (c *joinCmd) Run(ctx context.Context, s console.Streams) error {
	f, err := config.Load(c.Config, "")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.Wait)
	defer cancel()
	a, err := setup.Rejoin(ctx, f, console.Version(), event.Newest)
	if err != nil {
		return err
	}
	return Tell(s, a, c.JSON)
}

// Tell prints how a node was let in, and how it is started.
func Tell(s console.Streams, a *setup.Admission, json bool) error {
	if json {
		return console.PrintJSON(s.Out, a)
	}
	fmt.Fprintf(s.Err, "%s is a member of cluster %s now; it has %d members\n", a.Node, a.Cluster, len(a.Members))
	_, err := fmt.Fprintf(s.Out, "quorumta serve --config %s\n", a.Config)
	return err
}
