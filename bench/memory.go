package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"text/tabwriter"
	"time"

	"quorumta/bench/load"
	"quorumta/bench/trial"
)

// memoryCmd is bench memory.
type memoryCmd struct {
	Binary string `help:"The program: go build -o quorumta ./cmd/quorumta." required:"" type:"existingfile"`
	Warm   int64  `help:"Bytes of warm-up traffic, in messages of 100 KB." default:"1000000000"`
	Size   int    `help:"The large message." default:"49000000"`
	Idle   int    `help:"Idle connections to the first node." default:"2000"`
}

// megabyte is a million bytes, as everywhere in our figures.
const megabyte = 1_000_000

// Run measures what a large message and idle connections cost.
func (c *memoryCmd) Run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "memory-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	t, err := trial.Start(ctx, trial.Options{Binary: c.Binary, Dir: dir, Nodes: 3})
	if err != nil {
		return err
	}
	defer t.Close()
	fmt.Fprintf(os.Stderr, "warming up with %d MB\n", c.Warm/megabyte)
	if err := c.send(ctx, t, load.Options{Sessions: 20, Size: 100_000, Count: c.Warm / 100_000}); err != nil {
		return err
	}
	warm, err := memory(t)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "one message of %d MB\n", c.Size/megabyte)
	if err := c.send(ctx, t, load.Options{Sessions: 1, Size: c.Size, Count: 1}); err != nil {
		return err
	}
	large, err := memory(t)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%d idle connections\n", c.Idle)
	idle, err := c.idle(ctx, t)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "node\tpeak after warm-up\tpeak after the large one\tadded\t")
	for i, n := range t.Cluster.Nodes {
		fmt.Fprintf(w, "%s\t%d MB\t%d MB\t%d MB\t\n", n.Name, warm[i]/megabyte, large[i]/megabyte, (large[i]-warm[i])/megabyte)
	}
	fmt.Fprintf(w, "\n%d idle connections\t%d MB\t\t\t\n", c.Idle, idle/megabyte)
	return w.Flush()
}

// send runs a load to its end and waits until all of it is delivered.
func (c *memoryCmd) send(ctx context.Context, t *trial.Trial, o load.Options) error {
	r, err := t.Load(ctx, o)
	if err != nil {
		return err
	}
	if r.Acknowledged != o.Count {
		return fmt.Errorf("%d of %d messages were acknowledged: %v", r.Acknowledged, o.Count, r.Refusals)
	}
	waiting, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	return t.WaitEmpty(waiting)
}

// memory is each node's peak so far.
func memory(t *trial.Trial) ([]int64, error) {
	var peaks []int64
	for _, n := range t.Cluster.Nodes {
		_, peak, err := n.Memory()
		if err != nil {
			return nil, err
		}
		peaks = append(peaks, peak)
	}
	return peaks, nil
}

// idle opens the connections, each greeted, and tells what they added.
func (c *memoryCmd) idle(ctx context.Context, t *trial.Trial) (int64, error) {
	n := t.Cluster.Nodes[0]
	before, _, err := n.Memory()
	if err != nil {
		return 0, err
	}
	var d net.Dialer
	for i := range c.Idle {
		conn, err := d.DialContext(ctx, "tcp", n.SMTP)
		if err != nil {
			return 0, err
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		buffer := make([]byte, 512)
		if k, err := conn.Read(buffer); err != nil || string(buffer[:3]) != "220" {
			return 0, errors.Join(fmt.Errorf("connection %d was greeted with %q", i+1, buffer[:k]), err)
		}
		if _, err := fmt.Fprint(conn, "EHLO idle.example\r\n"); err != nil {
			return 0, err
		}
		if _, err := conn.Read(buffer); err != nil {
			return 0, err
		}
	}
	after, _, err := n.Memory()
	return after - before, err
}
