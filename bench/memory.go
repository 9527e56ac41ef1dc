package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
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
	TLS    bool   `help:"The idle connections are in TLS." name:"tls"`
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
	t, err := trial.Start(ctx, trial.Options{Binary: c.Binary, Dir: dir, Nodes: 3, Edit: c.allow})
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
	idle, with, err := c.idle(ctx, t)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "node\tpeak after warm-up\tpeak after the large one\tadded\t")
	for i, n := range t.Cluster.Nodes {
		fmt.Fprintf(w, "%s\t%d MB\t%d MB\t%d MB\t\n", n.Name, warm[i]/megabyte, large[i]/megabyte, (large[i]-warm[i])/megabyte)
	}
	fmt.Fprintf(w, "\n%d idle connections\t%d MB\t\t\t\n", c.Idle, idle/megabyte)
	fmt.Fprintf(w, "the node that holds them\t%d MB\t\t\t\n", with/megabyte)
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

// allow lets a node have the idle connections, and a hundred others.
func (c *memoryCmd) allow(_ string, config []byte) []byte {
	most := fmt.Sprint(c.Idle + 100)
	return limited.ReplaceAll(config, []byte("${1}"+most+"${2}"+most))
}

var limited = regexp.MustCompile(`(connections: )\d+(, per_client: )\d+`)

// idle opens the connections, each greeted, and tells what they added to the
// node's memory and what it has then.
func (c *memoryCmd) idle(ctx context.Context, t *trial.Trial) (added, with int64, err error) {
	n := t.Cluster.Nodes[0]
	before, _, err := n.Memory()
	if err != nil {
		return 0, 0, err
	}
	for i := range c.Idle {
		conn, err := c.greet(ctx, n.SMTP)
		if err != nil {
			return 0, 0, fmt.Errorf("connection %d: %w", i+1, err)
		}
		defer func() { _ = conn.Close() }()
	}
	with, _, err = n.Memory()
	return with - before, with, err
}

// greet connects and says EHLO, in TLS where that is wanted.
func (c *memoryCmd) greet(ctx context.Context, address string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	err = exchange(conn, "", "220")
	if err == nil {
		err = exchange(conn, "EHLO idle.example\r\n", "250")
	}
	if err == nil && c.TLS {
		if err = exchange(conn, "STARTTLS\r\n", "220"); err == nil {
			// Whom it speaks to does not matter: the certificate is the node's own.
			conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13})
			err = exchange(conn, "EHLO idle.example\r\n", "250")
		}
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// exchange sends a command and wants a reply that begins so; all of it comes at
// once.
func exchange(conn net.Conn, command, want string) error {
	if _, err := io.WriteString(conn, command); err != nil {
		return err
	}
	buffer := make([]byte, 1024)
	n, err := conn.Read(buffer)
	if err != nil || !bytes.HasPrefix(buffer[:n], []byte(want)) {
		return errors.Join(fmt.Errorf("%q was answered with %q", command, buffer[:n]), err)
	}
	return nil
}
