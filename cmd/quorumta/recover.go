package main

import (
	"fmt"
	"strings"
	"time"

	"quorumta/cmd/quorumta/console"
	"quorumta/cmd/quorumta/salvage"
	"quorumta/internal/config"
)

// recoverCmd makes a survivor a cluster of its own.
type recoverCmd struct {
	Config  string `help:"Configuration of the survivor, which does not run." required:"" type:"existingfile"`
	Sure    bool   `help:"Needed to change anything: the majority is lost for good, and with it what only the majority had." name:"i-know-what-may-be-lost"`
	Deliver bool   `help:"Let delivery go on at once: some of what the lost members delivered last may go out a second time. Without it, what is in the queue waits for queue release --restored."`
	JSON    bool   `help:"Print the stable form." name:"json"`
}

// Run recovers and prints what may be missing.
func (c *recoverCmd) Run(s streams) error {
	f, err := config.Load(c.Config, "")
	if err != nil {
		return err
	}
	if !c.Sure {
		if err := c.look(s, f); err != nil {
			return err
		}
		return usageError{Text: "a survivor alone may lack mail that was acknowledged, and what became of mail that it has. " +
			"If a majority can be brought back, do that instead. If it is lost for good, say --i-know-what-may-be-lost"}
	}
	r, err := salvage.Recover(f, version(), c.Deliver, func(what string) { fmt.Fprintln(s.Err, what) })
	if err != nil {
		return err
	}
	if c.JSON {
		return console.PrintJSON(s.Out, r)
	}
	return c.tell(s, f, r)
}

// look prints what the survivor has.
func (c *recoverCmd) look(s streams, f *config.File) error {
	r, err := salvage.Look(f)
	if err != nil {
		return err
	}
	if c.JSON {
		return console.PrintJSON(s.Out, r)
	}
	for _, sh := range r.Shards {
		tellShard(s, sh)
	}
	_, err = fmt.Fprintf(s.Out, "no replica here: shards %v\n", r.Absent)
	return err
}

func tellShard(s streams, sh salvage.Shard) {
	fmt.Fprintf(s.Out, "shard %d: %d open messages, log up to entry %d of term %d, last event %s\n",
		sh.ID, sh.Messages, sh.Index, sh.Term, sh.Last.UTC().Format(time.RFC3339))
}

// shownDoubts is how many messages are named on the terminal.
const shownDoubts = 20

func (c *recoverCmd) tell(s streams, f *config.File, r *salvage.Recovered) error {
	w := s.Out
	fmt.Fprintf(w, "%s is cluster %s now, alone; it was a member of %s\n", r.Node, r.Cluster, r.Was)
	fmt.Fprintf(w, "the old data is in %s: remove it when all is well\n", r.Old)
	for _, sh := range r.Shards {
		tellShard(s, sh)
		if sh.Unconfirmed > 0 {
			fmt.Fprintf(w, "  %d entries were taken over of which it is not known here that a majority had them\n", sh.Unconfirmed)
		}
		if sh.Cut != "" {
			fmt.Fprintf(w, "  MISSING for certain: %s\n", sh.Cut)
		}
		if n := len(sh.InDoubt); n > 0 {
			fmt.Fprintf(w, "  %d messages were being delivered and may have arrived: %s\n", n, strings.Join(sh.InDoubt[:min(n, shownDoubts)], " "))
		}
	}
	fmt.Fprintln(w, "what the others acknowledged, or recorded of deliveries, behind these entries is missing here")
	if len(r.Absent) > 0 {
		fmt.Fprintf(w, "MISSING: shards %v had no replica here\n", r.Absent)
	}
	fmt.Fprintf(w, "next: quorumta serve --config %s; then, for each new node, quorumta cluster token and init --join.\n", f.Path())
	_, err := fmt.Fprintf(w, "the old members %v must not be started on their old data: their cluster is gone\n", r.Lost)
	return err
}
