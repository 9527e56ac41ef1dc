package subject

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"time"

	"quorumta/bench/measure"
	"quorumta/bench/proc"
)

// QuorumtaOptions say what cluster is measured.
type QuorumtaOptions struct {
	// Binary is the program, Nodes how many.
	Binary string
	Nodes  int
	// Edit changes a node's configuration; nil: as init wrote it.
	Edit func(node string, config []byte) []byte
	// Env is added to the nodes' environment.
	Env []string
	// Under is a command that each node is run under, "strace -f …"; nil: none.
	Under func(node string) []string
}

// Quorumta is the kind of a cluster.
func Quorumta(name string, o QuorumtaOptions) Kind {
	return Kind{Name: name, Durable: fmt.Sprintf("synced on %d of %d", o.Nodes/2+1, o.Nodes),
		New: func(p Place) (Subject, error) { return NewCluster(p, o) }}
}

// Cluster is a quorumta cluster as a subject.
type Cluster struct {
	*proc.Cluster
	o      QuorumtaOptions
	groups map[string]*measure.Group // by node
}

// startPatience is how long a cluster may take to start.
const startPatience = 2 * time.Minute

// NewCluster writes the configurations; nothing runs yet.
func NewCluster(p Place, o QuorumtaOptions) (*Cluster, error) {
	c := &Cluster{o: o, groups: map[string]*measure.Group{}}
	var err error
	c.Cluster, err = proc.New(context.Background(), proc.Options{
		Binary: o.Binary, Dir: p.Dir, Nodes: o.Nodes, Smarthost: p.Hop, Edit: o.Edit, Env: o.Env, Launch: c.launch,
	})
	return c, err
}

// launch starts a node in its group.
func (c *Cluster) launch(node string, cmd *exec.Cmd) error {
	g := c.groups[node]
	if g == nil {
		g = measure.NewGroup(node)
		c.groups[node] = g
	}
	if c.o.Under != nil {
		under := c.o.Under(node)
		path, err := exec.LookPath(under[0])
		if err != nil {
			return err
		}
		cmd.Args = append(under, append([]string{cmd.Path}, cmd.Args[1:]...)...)
		cmd.Path = path
	}
	g.Wrap(cmd)
	return cmd.Start()
}

// Start starts the nodes and returns when each is ready and every shard has a
// leader, the leads evenly spread.
func (c *Cluster) Start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	if err := c.Cluster.Start(ctx); err != nil {
		return err
	}
	return c.WaitLed(ctx)
}

// WaitLed returns when every shard has a leader and no node leads more than
// its share.
func (c *Cluster) WaitLed(ctx context.Context) error {
	for !c.led(ctx) {
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("waiting for a leader for every shard, evenly: %w", ctx.Err())
		}
	}
	return nil
}

func (c *Cluster) led(ctx context.Context) bool {
	var s proc.Status
	if err := c.Query(ctx, &s, "cluster", "status"); err != nil {
		return false // not up yet
	}
	leads := map[string]int{}
	for _, shard := range s.Shards {
		if shard.Leader == "" {
			return false
		}
		leads[shard.Leader]++
	}
	most := (len(s.Shards) + len(c.Nodes) - 1) / len(c.Nodes)
	for _, n := range leads {
		if n > most {
			return false
		}
	}
	return len(s.Shards) > 0
}

// Stop kills all nodes at once.
func (c *Cluster) Stop() error {
	c.Kill()
	var errs []error
	for _, g := range c.groups {
		errs = append(errs, g.Close())
	}
	clear(c.groups)
	return errors.Join(errs...)
}

// Addresses are the nodes' SMTP ports.
func (c *Cluster) Addresses() []string { return c.SMTP() }

// Groups are the nodes, in their order.
func (c *Cluster) Groups() []*measure.Group {
	var out []*measure.Group
	for _, n := range c.Nodes {
		if g := c.groups[n.Name]; g != nil {
			out = append(out, g)
		}
	}
	return out
}
