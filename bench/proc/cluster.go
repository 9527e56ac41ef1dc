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
	"slices"
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
	// Hosts are the addresses of machines, one for each node, and Trust the
	// network that may relay there; nil means that all nodes are on loopback.
	Hosts []string
	Trust string
	// Launch starts the process of a node; nil means cmd.Start, on this host.
	Launch func(node string, cmd *exec.Cmd) error
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
	Nodes []*Node

	o    Options
	base int // port, on loopback
	made int // nodes so far: none gets the ports of one that has left
}

// hostPort is where nodes on hosts of their own speak to each other.
const hostPort = 7900

// New writes a cluster with "init", on loopback on ports that are free now;
// nothing runs yet.
func New(ctx context.Context, o Options) (*Cluster, error) {
	c, args, err := plan(o)
	if err != nil {
		return nil, err
	}
	if o.Smarthost != "" {
		args = append(args, "--smarthost", o.Smarthost)
	}
	if out, err := exec.CommandContext(ctx, o.Binary, append([]string{"init", "--dir", o.Dir}, args...)...).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("init: %w: %s", err, out)
	}
	for _, n := range c.Nodes {
		if err := n.edit(o); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// plan says where the nodes will be, and tells init.
func plan(o Options) (c *Cluster, args []string, err error) {
	c = &Cluster{o: o}
	if o.Hosts != nil {
		args = []string{"--port", strconv.Itoa(hostPort), "--trust", o.Trust}
		for i, host := range o.Hosts {
			n := c.add("n"+strconv.Itoa(i+1), host)
			args = append(args, "--node", n.Name+"="+host)
		}
		return c, args, nil
	}
	if c.base, err = freeBase(o.Nodes); err != nil {
		return nil, nil, err
	}
	for i := range o.Nodes {
		c.add("n"+strconv.Itoa(i+1), "")
	}
	return c, []string{"--nodes", strconv.Itoa(o.Nodes), "--port", strconv.Itoa(c.base)}, nil
}

// add makes a node on a host of its own, or with "" on loopback.
func (c *Cluster) add(name, host string) *Node {
	n := &Node{
		Name: name, Config: filepath.Join(c.o.Dir, name, "quorumta.yaml"),
		LogFile: filepath.Join(c.o.Dir, name, "log.txt"),
		binary:  c.o.Binary, env: c.o.Env, launch: c.o.Launch,
	}
	if host != "" {
		n.Cluster = net.JoinHostPort(host, strconv.Itoa(hostPort))
		n.SMTP = net.JoinHostPort(host, "25")
		n.Admin = net.JoinHostPort(host, strconv.Itoa(hostPort+80))
		n.Metrics = net.JoinHostPort(host, "9125")
	} else {
		port := c.base + c.made + 1
		n.Cluster, n.SMTP, n.Admin, n.Metrics = address(port), address(port+100), address(port+200), address(port+300)
	}
	c.Nodes = append(c.Nodes, n)
	c.made++
	return n
}

// Join has the running cluster admit one more node, on a host of its own or
// with "" on loopback. It is not started.
func (c *Cluster) Join(ctx context.Context, name, host string) (*Node, error) {
	var token []byte
	var member *Node
	err := c.each(ctx, patience, func(ctx context.Context, n *Node) (err error) {
		member = n
		token, err = n.Command(ctx, "cluster", "token")
		return err
	})
	if err != nil {
		return nil, err
	}
	n := c.add(name, host)
	at, port, err := net.SplitHostPort(n.Cluster)
	if err != nil {
		return nil, err
	}
	args := []string{"init", "--dir", c.o.Dir, "--name", name, "--host", at, "--port", port,
		"--join", member.Cluster, "--token", string(bytes.TrimSpace(token))}
	out, err := exec.CommandContext(ctx, c.o.Binary, args...).CombinedOutput()
	if err == nil {
		err = n.edit(c.o)
	}
	if err != nil {
		c.Forget(n)
		return nil, fmt.Errorf("join %s: %w: %s", name, err, bytes.TrimSpace(out))
	}
	return n, nil
}

// Remove has a node leave and ends it when the cluster has forgotten it. The
// node's own end is awaited, for it goes by itself.
func (c *Cluster) Remove(ctx context.Context, leaving *Node) error {
	asked := slices.IndexFunc(c.Nodes, func(n *Node) bool { return n != leaving && n.Running() })
	if asked < 0 {
		return fmt.Errorf("remove %s: no other node runs", leaving.Name)
	}
	if out, err := c.Nodes[asked].Command(ctx, "cluster", "remove", leaving.Name); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	_ = leaving.Stop(ctx) // its status says that it was removed
	if err := ctx.Err(); err != nil {
		return err
	}
	c.Forget(leaving)
	return nil
}

// Rejoin has the running cluster take back a node whose data are gone, and
// starts it. It is ready before its replicas have caught up.
func (c *Cluster) Rejoin(ctx context.Context, n *Node) error {
	if out, err := n.Command(ctx, "cluster", "join"); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	if err := n.Start(); err != nil {
		return err
	}
	return n.WaitReady(ctx)
}

// Forget leaves a node that does not run out from now on.
func (c *Cluster) Forget(n *Node) {
	c.Nodes = slices.DeleteFunc(c.Nodes, func(other *Node) bool { return other == n })
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

// How long a node is waited for that may be paused or out of reach, while
// there are others to be asked: for the whole history longer.
const (
	patience        = 10 * time.Second
	historyPatience = 2 * time.Minute
)

// Query runs a command that asks the first node that answers and decodes its
// JSON into out.
func (c *Cluster) Query(ctx context.Context, out any, args ...string) error {
	return c.each(ctx, patience, func(ctx context.Context, n *Node) error { return n.Query(ctx, out, args...) })
}

// Events are the lines of "events", as they stand.
func (c *Cluster) Events(ctx context.Context) (lines []byte, err error) {
	err = c.each(ctx, historyPatience, func(ctx context.Context, n *Node) (err error) {
		lines, err = n.Command(ctx, "events")
		return err
	})
	return lines, err
}

// Digest compares the replicas of every shard, and their whole states. The
// command fails where they differ: its words count, not its status.
func (c *Cluster) Digest(ctx context.Context) (d Digest, err error) {
	err = c.each(ctx, patience, func(ctx context.Context, n *Node) error {
		text, err := n.Command(ctx, "cluster", "digest", "--deep", "--json")
		if json.Unmarshal(text, &d) == nil && len(d.Shards) > 0 {
			return nil
		}
		return err
	})
	return d, err
}

// each asks one running node after the other until one answers.
func (c *Cluster) each(ctx context.Context, patience time.Duration, ask func(context.Context, *Node) error) error {
	last := errors.New("none runs")
	for _, n := range c.Nodes {
		if !n.Running() {
			continue
		}
		asking, cancel := context.WithTimeout(ctx, patience)
		last = ask(asking, n)
		cancel()
		if last == nil {
			return nil
		}
	}
	return fmt.Errorf("no node answered: %w", last)
}

// Query runs a command against this node and decodes its JSON into out.
func (n *Node) Query(ctx context.Context, out any, args ...string) error {
	text, err := n.Command(ctx, append(args, "--json")...)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, out)
}

// Command runs a command of the program against this node and returns what it
// printed, also where it fails.
func (n *Node) Command(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, n.binary, append(args, "--config", n.Config)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil {
		return out, fmt.Errorf("%v: %w: %s", args, err, bytes.TrimSpace(stderr.Bytes()))
	}
	return out, nil
}

// edit changes what init wrote. A host has a loopback of its own, where nobody
// else asks for metrics.
func (n *Node) edit(o Options) error {
	text, err := os.ReadFile(n.Config)
	if err != nil {
		return fmt.Errorf("read the configuration of %s: %w", n.Name, err)
	}
	if o.Hosts != nil {
		text = bytes.Replace(text, []byte("127.0.0.1:9125"), []byte(n.Metrics), 1)
	}
	if o.Edit != nil {
		text = o.Edit(n.Name, text)
	}
	return os.WriteFile(n.Config, text, 0o644)
}

// KeepLog has a node keep so much of each shard's log, a size as
// cluster.log_keep has it, unless the member that it joins has said how much.
func KeepLog(config []byte, size string) []byte {
	if size == "" || bytes.Contains(config, []byte("\n  log_keep:")) {
		return config
	}
	return bytes.Replace(config, []byte("\ncluster:\n"), []byte("\ncluster:\n  log_keep: "+size+"\n"), 1)
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// joiners is how many nodes may join later.
const joiners = 8

// freeBase finds a port from which on the ports that init uses are free, below
// the range that the kernel gives to clients.
func freeBase(nodes int) (int, error) {
	for range 100 {
		base := 10000 + 400*rand.IntN(50)
		if free(base, nodes+joiners) {
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
