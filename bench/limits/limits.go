// Package limits measures whether a limit that holds for a whole cluster does:
// connections at once and messages in any minute at one next hop, while the
// leads of all shards move every few seconds.
package limits

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"quorumta/bench/load"
	"quorumta/bench/proc"
	"quorumta/bench/sink"
	"quorumta/bench/trial"
)

// Command is bench limits.
type Command struct {
	Binary      string        `help:"The program: go build -o quorumta ./cmd/quorumta." required:"" type:"existingfile"`
	Nodes       int           `help:"Nodes." default:"3"`
	Connections int           `help:"Connections of all nodes together." default:"10"`
	PerMinute   int           `help:"Messages a minute of all nodes together." default:"100"`
	Delay       time.Duration `help:"What the next hop takes for a message." default:"4s"`
	For         time.Duration `help:"How long, after a first minute." default:"4m"`
	Move        time.Duration `help:"How often a lead is handed over." default:"3s"`
}

// Report is what the next hop saw.
type Report struct {
	Connections, PerMinute int
	// Peak is the most connections at once; Minute the most messages in any
	// minute, Mean those in the mean minute after the first.
	Peak   int64
	Minute int
	Mean   float64
	// Moves counts the leads that were handed over, Delivered the messages.
	Moves, Delivered int
}

// slack is by how much a limit may be exceeded, and missed.
const slack = 0.05

// OK reports whether both limits were kept, and the rate was used up. (A minute
// is paced so that it never has more than the limit: all but a twentieth goes
// evenly.)
func (r Report) OK() bool {
	return float64(r.Peak) <= float64(r.Connections)*(1+slack) &&
		float64(r.Minute) <= float64(r.PerMinute)*(1+slack) &&
		r.Mean >= float64(r.PerMinute)*(1-2*slack)
}

// Print writes a table and the verdict.
func (r Report) Print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "LIMIT\tALLOWED\tSEEN AT MOST\tMEAN")
	fmt.Fprintf(t, "connections at once\t%d\t%d\t\n", r.Connections, r.Peak)
	fmt.Fprintf(t, "messages in any minute\t%d\t%d\t%.1f\n", r.PerMinute, r.Minute, r.Mean)
	fmt.Fprintf(t, "\nleads handed over: %d; delivered: %d; kept within %.0f %%: %v\n", r.Moves, r.Delivered, 100*slack, r.OK())
	return t.Flush()
}

// Run measures, prints, and fails where a limit was not kept.
func (c *Command) Run(ctx context.Context) error {
	r, err := c.measure(ctx)
	if err != nil {
		return err
	}
	if err := r.Print(os.Stdout); err != nil {
		return err
	}
	if !r.OK() {
		return fmt.Errorf("a limit was not kept, or not used")
	}
	return nil
}

func (c *Command) measure(ctx context.Context) (Report, error) {
	r := Report{Connections: c.Connections, PerMinute: c.PerMinute}
	dir, err := os.MkdirTemp("", "limits-")
	if err != nil {
		return r, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	starting, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	t, err := trial.Start(starting, trial.Options{
		Binary: c.Binary, Dir: dir, Nodes: c.Nodes, Sink: sink.Mode{Delay: sink.Duration(c.Delay)}, Edit: c.edit,
	})
	if err != nil {
		return r, err
	}
	defer t.Close()
	whole := time.Minute + c.For
	count := int64(float64(c.PerMinute)*whole.Minutes()*1.5) + 300 // there is always more
	if _, err := t.Load(ctx, load.Options{Sessions: 12, Count: count, Size: 2000}); err != nil {
		return r, err
	}
	began := time.Now()
	for time.Since(began) < whole {
		if err := proc.Sleep(ctx, c.Move); err != nil {
			return r, err
		}
		if c.move(ctx, t) {
			r.Moves++
		}
	}
	r.Peak = t.Sink.Stats().Peak
	var times []time.Time
	err = t.Sink.Each(func(s sink.Seen) error {
		times = append(times, s.First)
		return nil
	})
	r.judge(times, began.Add(time.Minute))
	return r, err
}

// edit adds the limit to a node's configuration.
func (c *Command) edit(_ string, config []byte) []byte {
	return fmt.Appendf(config, "\nsites:\n  - {name: all, connections: %d, messages_per_minute: %d}\n", c.Connections, c.PerMinute)
}

// move hands a lead to another node.
func (c *Command) move(ctx context.Context, t *trial.Trial) bool {
	var s proc.Status
	if t.Cluster.Query(ctx, &s, "cluster", "status") != nil || len(s.Shards) == 0 {
		return false
	}
	shard := s.Shards[rand.IntN(len(s.Shards))]
	to := t.Cluster.Nodes[rand.IntN(len(t.Cluster.Nodes))]
	if to.Name == shard.Leader {
		return false
	}
	_, err := to.Command(ctx, "cluster", "transfer", fmt.Sprint(shard.ID), to.Name)
	return err == nil
}

// judge counts messages by minutes.
func (r *Report) judge(times []time.Time, settled time.Time) {
	slices.SortFunc(times, time.Time.Compare)
	r.Delivered = len(times)
	late := 0
	for from, first := range times {
		to := from
		for to < len(times) && times[to].Sub(first) < time.Minute {
			to++
		}
		r.Minute = max(r.Minute, to-from)
		if first.After(settled) {
			late++
		}
	}
	if late > 0 {
		r.Mean = float64(late) / times[len(times)-1].Sub(settled).Minutes()
	}
}
