// Package clustering are the commands about the cluster and its members.
package clustering

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"quorumta/cmd/quorumta/console"
	"quorumta/internal/admin/api"
)

// Commands are the commands about the cluster.
type Commands struct {
	Status   statusCmd   `cmd:"" help:"Nodes, shards, who leads what."`
	Digest   digestCmd   `cmd:"" help:"Compare the replicas of every shard."`
	Drain    drainCmd    `cmd:"" help:"Have a node hand its leads away, finish what is in flight, and end."`
	Transfer transferCmd `cmd:"" help:"Hand a shard's lead to a node."`
	Token    tokenCmd    `cmd:"" help:"Print a token that lets one new node join."`
	Join     joinCmd     `cmd:"" help:"Have the cluster take back this node, which has lost its data and kept its certificate."`
	Remove   removeCmd   `cmd:"" help:"Have a member leave: its replicas move to the others, then it is forgotten."`
	Shards   shardsCmd   `cmd:"" help:"Set how many shards take new mail; 0: one per member."`
	Upgrade  upgradeCmd  `cmd:"" help:"How far a rolling upgrade is, and its end."`
	Skip     skipCmd     `cmd:"" help:"Leave out a log entry whose fold fails, on all replicas; what it was about is held."`
	Backup   backupCmd   `cmd:"" help:"Write a copy of the running cluster's queue to a file."`
	Restore  restoreCmd  `cmd:"" help:"Give a node of a new cluster, before its first start, the queue of a backup."`
}

// target is the target of a command that has something done.
type target struct{ console.Target }

// do has it done and says so: by the answer in the stable form, or in words.
func (t *target) do(ctx context.Context, s console.Streams, answer api.Done, words string, f func(*api.Client, context.Context) error) error {
	return console.Ask(ctx, &t.Target, s,
		func(client *api.Client, ctx context.Context) (api.Done, error) { return answer, f(client, ctx) },
		func(api.Done) error {
			_, err := fmt.Fprintln(s.Out, words)
			return err
		})
}

type statusCmd struct {
	console.Target
}

// Run prints the status.
func (c *statusCmd) Run(ctx context.Context, s console.Streams) error {
	return console.Ask(ctx, &c.Target, s, (*api.Client).Status, func(status *api.Status) error { return tellStatus(s, status) })
}

func tellStatus(s console.Streams, status *api.Status) error {
	w := tabwriter.NewWriter(s.Out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "NODE\tADDRESS\tALIVE\tLEADS\tVERSION")
	for _, n := range status.Nodes {
		alive := "yes"
		switch {
		case !n.Alive:
			alive = "no"
		case n.Leaving:
			alive = "leaving"
		case n.Draining:
			alive = "draining"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", n.Name, n.Address, alive, strings.Trim(fmt.Sprint(n.Leads), "[]"), n.Version)
	}
	fmt.Fprintln(w, "\nSHARD\tLEADER\tTERM\tCOMMIT\tAPPLIED\tQUEUED\tREPLICAS")
	for _, sh := range status.Shards {
		leader := sh.Leader
		if leader == "" {
			leader = "none"
		}
		fmt.Fprintf(w, "%d\t%s\t%d\t%d\t%d\t%d\t%s\n", sh.ID, leader, sh.Term, sh.Commit, sh.Applied, sh.Queued, replicas(sh))
		if sh.Stopped != "" {
			fmt.Fprintf(w, "\tSTOPPED HERE: %s\n", sh.Stopped)
		}
	}
	if status.Control.Leader == "" {
		fmt.Fprintln(w, "\nthe control group has no leader: mail flows, but members and shards cannot be changed")
	}
	return w.Flush()
}

// replicas are a shard's, with what is being done to them.
func replicas(sh api.Shard) string {
	var out []string
	for _, r := range sh.Replicas {
		text := fmt.Sprintf("%s@%d", r.Node, r.Applied)
		if !r.Voter {
			text += " (catching up)"
		}
		if !slices.Contains(sh.Wanted, r.Node) {
			text += " (going)"
		}
		out = append(out, text)
	}
	if sh.Retiring {
		out = append(out, "retiring")
	}
	return strings.Join(out, " ")
}

type digestCmd struct {
	console.Target
	Deep bool `help:"Compare the whole states, not the running digests alone."`
}

// Run prints the digests and fails if replicas differ.
func (c *digestCmd) Run(ctx context.Context, s console.Streams) error {
	client, err := c.Dial()
	if err != nil {
		return err
	}
	defer client.Close()
	digest, err := client.Digest(ctx, c.Deep)
	if err != nil {
		return err
	}
	if c.JSON {
		err = console.PrintJSON(s.Out, digest)
	} else {
		w := tabwriter.NewWriter(s.Out, 0, 8, 2, ' ', 0)
		fmt.Fprintln(w, "SHARD\tNODE\tAPPLIED\tCHAIN\tSHA256")
		for _, sh := range digest.Shards {
			for _, r := range sh.Replicas {
				fmt.Fprintf(w, "%d\t%s\t%d\t%.16s\t%.16s %s\n", sh.ID, r.Node, r.Applied, r.Chain, r.SHA256, r.Error)
			}
		}
		err = w.Flush()
	}
	if err == nil && !digest.Equal() {
		err = errors.New("replicas differ, or did not answer")
	}
	return err
}

type drainCmd struct {
	console.Target
	Node string        `arg:"" help:"Name of the node."`
	Wait time.Duration `help:"How long to wait for the node to be gone; 0 returns at once." default:"2m"`
}

// Run begins the drain and waits until the node is gone.
func (c *drainCmd) Run(ctx context.Context, s console.Streams) error {
	client, err := c.Dial()
	if err != nil {
		return err
	}
	defer client.Close()
	if err := client.Drain(ctx, c.Node); err != nil {
		return err
	}
	fmt.Fprintln(s.Out, c.Node, "is draining")
	if c.Wait == 0 {
		return nil
	}
	waiting, cancel := context.WithTimeout(ctx, c.Wait)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		status, err := client.Status(waiting)
		if err != nil && waiting.Err() == nil {
			return nil // the node we ask is the one that has gone
		}
		if err == nil && !alive(status.Nodes, c.Node) {
			fmt.Fprintln(s.Out, c.Node, "is gone")
			return nil
		}
		select {
		case <-tick.C:
		case <-waiting.Done():
			return fmt.Errorf("%s is still there after %v", c.Node, c.Wait)
		}
	}
}

type transferCmd struct {
	target
	Shard uint16 `arg:"" help:"Number of the shard."`
	Node  string `arg:"" help:"Name of the node that is to lead it."`
}

// Run hands the lead over.
func (c *transferCmd) Run(ctx context.Context, s console.Streams) error {
	return c.do(ctx, s, api.Done{}, fmt.Sprintf("shard %d is led by %s", c.Shard, c.Node), func(client *api.Client, ctx context.Context) error {
		return client.Transfer(ctx, c.Shard, c.Node)
	})
}

func alive(nodes []api.Node, name string) bool {
	for _, n := range nodes {
		if n.Name == name {
			return n.Alive
		}
	}
	return false
}
