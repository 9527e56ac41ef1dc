package clustering

import (
	"fmt"
	"time"

	"quorumta/cmd/quorumta/console"
	"quorumta/cmd/quorumta/salvage"
	"quorumta/internal/config"
)

type restoreCmd struct {
	File   string `arg:"" help:"The backup." type:"existingfile"`
	Config string `help:"Configuration of a node of a new cluster that has not been started." required:"" type:"existingfile"`
	JSON   bool   `help:"Print the stable form." name:"json"`
}

// Run gives the node its part of the backup.
func (c *restoreCmd) Run(s console.Streams) error {
	f, err := config.Load(c.Config, "")
	if err != nil {
		return err
	}
	r, err := salvage.Restore(f, c.File, console.Version(), func(what string) { fmt.Fprintln(s.Err, what) })
	if err != nil {
		return err
	}
	if c.JSON {
		return console.PrintJSON(s.Out, r)
	}
	fmt.Fprintf(s.Out, "%s has shards %v of the backup of %s, with %d open messages\n", r.Node, r.Here, r.Made.Format(time.RFC3339), r.Messages)
	fmt.Fprintln(s.Err, "restore the same file on every other node of the cluster, then start them all; what was restored waits for quorumta queue release --restored")
	return nil
}
