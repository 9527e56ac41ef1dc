package clustering

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"quorumta/cmd/quorumta/console"
	"quorumta/internal/admin/api"
	"quorumta/internal/config/value"
)

type tokenCmd struct {
	console.Target
	For string `help:"How long it is good for: 90s, 15m, 4h, 7d." default:"24h"`
}

// Run draws a token and prints it.
func (c *tokenCmd) Run(ctx context.Context, s console.Streams) error {
	life, err := value.ParseDuration(c.For)
	if err != nil {
		return console.UsageError{Text: "--for " + c.For + ": " + err.Error()}
	}
	if life < time.Second {
		return console.UsageError{Text: "--for " + c.For + ": a token is good for a second at least"}
	}
	draw := func(client *api.Client, ctx context.Context) (*api.Token, error) { return client.Token(ctx, life) }
	return console.Ask(ctx, &c.Target, s, draw, func(t *api.Token) error {
		fmt.Fprintf(s.Err, "good once, until %s; on the new machine: quorumta init --join HOST:PORT --token TOKEN --dir DIR\n", t.Expires.Format(time.RFC3339))
		_, err := fmt.Fprintln(s.Out, t.Token)
		return err
	})
}

type removeCmd struct {
	console.Target
	Node  string        `arg:"" help:"Name of the node."`
	Force bool          `help:"Even where no majority of the others is alive."`
	Wait  time.Duration `help:"How long to wait for the node to have left; 0 returns at once." default:"10m"`
}

// Run has the node leave and waits until the cluster has forgotten it.
func (c *removeCmd) Run(ctx context.Context, s console.Streams) error {
	client, err := c.Dial()
	if err != nil {
		return err
	}
	defer client.Close()
	if err := client.Remove(ctx, c.Node, c.Force); err != nil {
		return err
	}
	if c.Wait == 0 {
		return c.say(s, false)
	}
	if !c.JSON {
		fmt.Fprintln(s.Out, c.Node, "is leaving")
	}
	waiting, cancel := context.WithTimeout(ctx, c.Wait)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		status, err := client.Status(waiting)
		if err == nil && !member(status, c.Node) {
			return c.say(s, true)
		}
		select {
		case <-tick.C:
		case <-waiting.Done():
			if err != nil && status == nil {
				return fmt.Errorf("%s is leaving, and the node that was asked does not answer any more; ask another one: quorumta cluster status: %w", c.Node, err)
			}
			return fmt.Errorf("%s has not left after %v; it goes on: quorumta cluster status shows which replicas it still has", c.Node, c.Wait)
		}
	}
}

// removed is what "cluster remove --json" prints.
type removed struct {
	Node string `json:"node"`
	// Gone: the cluster has forgotten it.
	Gone bool `json:"gone"`
}

func (c *removeCmd) say(s console.Streams, gone bool) error {
	if c.JSON {
		return console.PrintJSON(s.Out, removed{c.Node, gone})
	}
	word := "is leaving"
	if gone {
		word = "has left"
	}
	_, err := fmt.Fprintln(s.Out, c.Node, word)
	return err
}

func member(status *api.Status, name string) bool {
	for _, n := range status.Nodes {
		if n.Name == name {
			return true
		}
	}
	return false
}

type shardsCmd struct {
	target
	Count int `arg:"" help:"How many; 0 means one per member."`
}

// Run sets the number of shards.
func (c *shardsCmd) Run(ctx context.Context, s console.Streams) error {
	if c.Count < 0 || c.Count > 4095 {
		return console.UsageError{Text: fmt.Sprintf("%d shards: 0 to 4095 are possible", c.Count)}
	}
	return c.do(ctx, s, api.Done{Count: c.Count}, "new shards open, or surplus ones retire and go when they are empty: quorumta cluster status",
		func(client *api.Client, ctx context.Context) error { return client.SetShards(ctx, c.Count) })
}

type upgradeCmd struct {
	Status upgradeStatusCmd `cmd:"" help:"The members' programs, and what they can write."`
	Finish upgradeFinishCmd `cmd:"" help:"Let events be written that only the new program knows: no way back from then on."`
}

type upgradeStatusCmd struct {
	console.Target
}

// Run prints the members' programs.
func (c *upgradeStatusCmd) Run(ctx context.Context, s console.Streams) error {
	return console.Ask(ctx, &c.Target, s, (*api.Client).Upgrade, func(u *api.Upgrade) error { return tellUpgrade(s, u) })
}

func tellUpgrade(s console.Streams, u *api.Upgrade) error {
	w := tabwriter.NewWriter(s.Out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "NODE\tVERSION\tLEVEL")
	for _, r := range u.Members {
		fmt.Fprintf(w, "%s\t%s\t%d\n", r.Node, r.Version, r.Level)
	}
	fmt.Fprintf(w, "\nwritten now: level %d; all members know level %d\n", u.Level, u.Ready)
	switch {
	case u.Ready < u.Newest:
		fmt.Fprintf(w, "some members know level %d: upgrade the others, then quorumta cluster upgrade finish\n", u.Newest)
	case u.Level < u.Ready:
		fmt.Fprintln(w, "ready for quorumta cluster upgrade finish; until then every member can go back to the old program")
	default:
		fmt.Fprintln(w, "nothing to finish")
	}
	return w.Flush()
}

type upgradeFinishCmd struct {
	console.Target
}

// Run finishes the upgrade.
func (c *upgradeFinishCmd) Run(ctx context.Context, s console.Streams) error {
	return console.Ask(ctx, &c.Target, s, (*api.Client).FinishUpgrade, func(u *api.Upgrade) error {
		_, err := fmt.Fprintf(s.Out, "level %d is written from now on\n", u.Level)
		if err == nil && u.Ready < u.Newest {
			fmt.Fprintf(s.Err, "some members know level %d, others do not: upgrade those and finish again\n", u.Newest)
		}
		return err
	})
}

type skipCmd struct {
	target
	Shard uint16 `arg:"" help:"Number of the shard."`
	Index uint64 `arg:"" help:"Index of the entry, as the log of the stopped replica names it."`
	Force bool   `help:"Even if no replica that answers has stopped at this entry. What an entry says that could be folded is lost then."`
}

// Run leaves the entry out.
func (c *skipCmd) Run(ctx context.Context, s console.Streams) error {
	done := fmt.Sprintf("entry %d of shard %d is left out; what it was about is held: quorumta queue list --state held", c.Index, c.Shard)
	return c.do(ctx, s, api.Done{}, done, func(client *api.Client, ctx context.Context) error {
		return client.Skip(ctx, c.Shard, c.Index, c.Force)
	})
}
