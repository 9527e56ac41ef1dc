// Package proc runs a quorumta cluster of real processes on loopback and knows
// it from outside only: its command line, its ports, its signals.
package proc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// Options says what cluster is run.
type Options struct {
	// Binary is the program.
	Binary string
	// Dir gets the configurations and the data.
	Dir string
	// Nodes is how many.
	Nodes int
	// Smarthost takes all mail, host:port; "" means MX lookups.
	Smarthost string
	// Edit changes a node's configuration before the first start; nil: as init
	// wrote it.
	Edit func(node string, config []byte) []byte
	// Env is added to the processes' environment.
	Env []string
}

// Cluster is a set of nodes.
type Cluster struct {
	Nodes  []*Node
	binary string
}

// New writes a cluster with "init" on ports that are free now; nothing runs
// yet.
func New(ctx context.Context, o Options) (*Cluster, error) {
	base, err := freeBase(o.Nodes)
	if err != nil {
		return nil, err
	}
	args := []string{"init", "--dir", o.Dir, "--nodes", strconv.Itoa(o.Nodes), "--port", strconv.Itoa(base)}
	if o.Smarthost != "" {
		args = append(args, "--smarthost", o.Smarthost)
	}
	if out, err := exec.CommandContext(ctx, o.Binary, args...).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("init: %w: %s", err, out)
	}
	c := &Cluster{binary: o.Binary}
	for i := 1; i <= o.Nodes; i++ {
		name := "n" + strconv.Itoa(i)
		n := &Node{
			Name: name, Config: filepath.Join(o.Dir, name, "quorumta.yaml"),
			SMTP:    address(base + 100 + i),
			Admin:   address(base + 200 + i),
			Metrics: address(base + 300 + i),
			LogFile: filepath.Join(o.Dir, name, "log.txt"),
			binary:  o.Binary, env: o.Env,
		}
		if o.Edit != nil {
			if err := n.edit(o.Edit); err != nil {
				return nil, err
			}
		}
		c.Nodes = append(c.Nodes, n)
	}
	return c, nil
}

// Start starts every node and returns when all are ready.
func (c *Cluster) Start(ctx context.Context) error {
	for _, n := range c.Nodes {
		if err := n.Start(); err != nil {
			return err
		}
	}
	for _, n := range c.Nodes {
		if err := n.WaitReady(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Kill ends every process at once, as a power cut of all machines would but
// for what the kernel still writes.
func (c *Cluster) Kill() {
	for _, n := range c.Nodes {
		n.Kill()
	}
}

// Stop asks every node to end and waits; what is left when ctx ends is killed.
func (c *Cluster) Stop(ctx context.Context) error {
	var errs []error
	for _, n := range c.Nodes {
		n.signalTerm()
	}
	for _, n := range c.Nodes {
		if err := n.wait(ctx); err != nil {
			errs = append(errs, err)
			n.Kill()
		}
	}
	return errors.Join(errs...)
}

// SMTP are the addresses that take mail.
func (c *Cluster) SMTP() []string {
	var out []string
	for _, n := range c.Nodes {
		out = append(out, n.SMTP)
	}
	return out
}

// Status is what "cluster status --json" says.
type Status struct {
	Nodes []struct {
		Name    string `json:"name"`
		Address string `json:"address"`
		Alive   bool   `json:"alive"`
		Leads   []int  `json:"leads"`
	} `json:"nodes"`
	Shards []struct {
		ID      int    `json:"id"`
		Leader  string `json:"leader"`
		Term    uint64 `json:"term"`
		Commit  uint64 `json:"commit"`
		Applied uint64 `json:"applied"`
		// Queued is how many messages are open.
		Queued int `json:"queued"`
	} `json:"shards"`
}

// Count is what "queue count --json" says.
type Count struct {
	Total    int `json:"total"`
	Due      int `json:"due"`
	Deferred int `json:"deferred"`
	Held     int `json:"held"`
	InFlight int `json:"in_flight"`
	// Stale names shards that could not be asked at their leader.
	Stale []int `json:"stale"`
}

// Query runs a command that asks the first node that answers and decodes its
// JSON into out.
func (c *Cluster) Query(ctx context.Context, out any, args ...string) error {
	var last error
	for _, n := range c.Nodes {
		if !n.Running() {
			continue
		}
		if last = n.Query(ctx, out, args...); last == nil {
			return nil
		}
	}
	return fmt.Errorf("no node answered: %w", last)
}

// Events are the lines of "events", as they stand.
func (c *Cluster) Events(ctx context.Context) ([]byte, error) {
	var last error
	for _, n := range c.Nodes {
		if !n.Running() {
			continue
		}
		out, err := n.command(ctx, "events")
		if err == nil {
			return out, nil
		}
		last = err
	}
	return nil, fmt.Errorf("no node told its events: %w", last)
}

// Query runs a command against this node and decodes its JSON into out.
func (n *Node) Query(ctx context.Context, out any, args ...string) error {
	text, err := n.command(ctx, append(args, "--json")...)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, out)
}

// command runs a command of the program against this node.
func (n *Node) command(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, n.binary, append(args, "--config", n.Config)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%v: %w: %s", args, err, bytes.TrimSpace(stderr.Bytes()))
	}
	return out, nil
}

func (n *Node) edit(f func(string, []byte) []byte) error {
	text, err := os.ReadFile(n.Config)
	if err != nil {
		return fmt.Errorf("read the configuration of %s: %w", n.Name, err)
	}
	return os.WriteFile(n.Config, f(n.Name, text), 0o644)
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// freeBase finds a port from which on the ports that init uses are free, below
// the range that the kernel gives to clients.
func freeBase(nodes int) (int, error) {
	for range 100 {
		base := 10000 + 400*rand.IntN(50)
		if free(base, nodes) {
			return base, nil
		}
	}
	return 0, errors.New("no free range of ports between 10000 and 30000 on 127.0.0.1")
}

func free(base, nodes int) bool {
	for _, offset := range []int{0, 100, 200, 300} {
		for i := 1; i <= nodes; i++ {
			l, err := net.Listen("tcp", address(base+offset+i))
			if err != nil {
				return false
			}
			_ = l.Close()
		}
	}
	return true
}
