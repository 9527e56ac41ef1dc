package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"text/tabwriter"
	"time"

	"quorumta/bench/load"
	"quorumta/bench/proc"
	"quorumta/bench/sink"
	"quorumta/bench/subject"
	"quorumta/bench/trial"
)

// backlogCmd is bench backlog.
type backlogCmd struct {
	Binary   string        `help:"The program: go build -o quorumta ./cmd/quorumta." required:"" type:"existingfile"`
	Count    int64         `help:"Messages, half to each host." default:"200000"`
	Size     int           `help:"Bytes of each." default:"10000"`
	Sessions int           `help:"Sessions, spread over all nodes." default:"50"`
	Window   time.Duration `help:"How much of the start and of the end is compared." default:"20s"`
	Drain    time.Duration `help:"How long draining may take." default:"30m"`
	Share    float64       `help:"New mail for a third host while the rest drains, as a share of what relays at most." default:"0.25"`
}

// Run queues mail for a host that refuses and for one that is silent, restarts
// a node, lets both hosts come back, and waits until all is delivered.
func (c *backlogCmd) Run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "backlog-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	sinking, cancel := context.WithCancel(ctx)
	var sunk sync.WaitGroup
	defer sunk.Wait()
	defer cancel()
	silent, err := listen(sinking, &sunk, sink.Mode{Action: sink.Silent})
	if err != nil {
		return err
	}
	live, err := listen(sinking, &sunk, sink.Mode{})
	if err != nil {
		return err
	}
	t, err := trial.Start(ctx, trial.Options{
		Binary: c.Binary, Dir: dir, Nodes: 3, Sink: sink.Mode{Action: sink.Refuse},
		Edit: func(_ string, config []byte) []byte {
			config = bytes.Replace(config, []byte("F 2h 15m"), []byte("F 2h 1m"), 1)
			config = subject.FirstRouter(config, fmt.Sprintf("{name: live, if: rcpt.domain == %q, hosts: [%q]}", liveDomain, live.Address()))
			return subject.FirstRouter(config, fmt.Sprintf("{name: silent, if: rcpt.domain == \"silent.example\", hosts: [%q]}", silent.Address()))
		},
	})
	if err != nil {
		return err
	}
	defer t.Close()
	beside := &other{trial: t, hop: live, sessions: c.Sessions, size: c.Size}
	if err := beside.relayAlone(ctx, c.Window, c.Share); err != nil {
		return err
	}
	if err := c.fill(ctx, t); err != nil {
		return err
	}
	if err := c.report(t, dir, "queued"); err != nil {
		return err
	}
	if err := restart(ctx, t.Cluster.Nodes[1]); err != nil {
		return err
	}
	return c.drain(ctx, t, beside, silent, dir)
}

// listen runs a next hop until ctx ends.
func listen(ctx context.Context, running *sync.WaitGroup, m sink.Mode) (*sink.Sink, error) {
	s, err := sink.Listen(sink.Options{Listen: "127.0.0.1:0", Mode: m})
	if err == nil {
		running.Go(func() { _ = s.Run(ctx) })
	}
	return s, err
}

// fill queues the messages and compares the first rate with the last.
func (c *backlogCmd) fill(ctx context.Context, t *trial.Trial) error {
	var mu sync.Mutex
	var times []time.Time
	r, err := t.Load(ctx, load.Options{
		Sessions: c.Sessions, Count: c.Count, Size: c.Size, Domains: []string{"refuse.example", "silent.example"},
		Record: func(r load.Record) {
			if r.Class == load.Acknowledged {
				mu.Lock()
				times = append(times, r.At)
				mu.Unlock()
			}
		},
	})
	if err != nil {
		return err
	}
	if r.Acknowledged != c.Count {
		return fmt.Errorf("%d of %d were acknowledged: %v", r.Acknowledged, c.Count, r.Refusals[:min(3, len(r.Refusals))])
	}
	first, last := 0, 0
	for _, at := range times {
		if at.Sub(r.Started) < c.Window {
			first++
		}
		if r.Ended.Sub(at) < c.Window {
			last++
		}
	}
	s := c.Window.Seconds()
	fmt.Printf("accepted %d at %.0f/s; first %.0f s %.0f/s, last %.0f s %.0f/s: %.0f %%\n",
		r.Acknowledged, r.Rate, s, float64(first)/s, s, float64(last)/s, 100*float64(last)/float64(max(1, first)))
	return nil
}

// report prints what the nodes hold.
func (c *backlogCmd) report(t *trial.Trial, dir, when string) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	for _, n := range t.Cluster.Nodes {
		now, peak, err := n.Memory()
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%s\t%s\tmemory %d MB\tpeak %d MB\tdisk %d MB\n", when, n.Name, now/megabyte, peak/megabyte, proc.DiskUse(filepath.Join(dir, n.Name))/megabyte)
	}
	return w.Flush()
}

// restart kills a node and says how soon it is ready again.
func restart(ctx context.Context, n *proc.Node) error {
	n.Kill()
	started := time.Now()
	if err := n.Start(); err != nil {
		return err
	}
	if err := n.WaitReady(ctx); err != nil {
		return err
	}
	fmt.Printf("%s killed and started again: ready after %.2f s\n", n.Name, time.Since(started).Seconds())
	return nil
}

// drain lets the hosts come back and waits for all mail.
func (c *backlogCmd) drain(ctx context.Context, t *trial.Trial, beside *other, silent *sink.Sink, dir string) error {
	if err := errors.Join(t.Sink.SetMode(sink.Mode{}), silent.SetMode(sink.Mode{})); err != nil {
		return err
	}
	started := time.Now()
	waiting, cancel := context.WithTimeout(ctx, c.Drain)
	defer cancel()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	drained := func() int64 { return t.Sink.Stats().Recipients + silent.Stats().Recipients }
	if err := beside.measureBeside(waiting, c.Window, drained); err != nil {
		return err
	}
	for {
		got := drained()
		if got == c.Count {
			break
		}
		select {
		case <-tick.C:
		case <-waiting.Done():
			return fmt.Errorf("%d of %d delivered after %v", got, c.Count, c.Drain)
		}
	}
	took := time.Since(started).Seconds()
	copies := t.Sink.Stats().Copies + silent.Stats().Copies - c.Count
	fmt.Printf("drained %d in %.0f s (%.0f/s), second copies %d\n", c.Count, took, float64(c.Count)/took, copies)
	return c.report(t, dir, "drained")
}
