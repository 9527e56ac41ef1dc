package members

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"quorumta/bench/proc"
	"quorumta/bench/sink"
	"quorumta/bench/trial"
)

// Options says what is done. Zero means a default only where it is said.
type Options struct {
	// Binary is the program.
	Binary string
	// Dir gets configurations, data and logs, and is kept; "" means a temporary
	// one.
	Dir string
	// Sizes are those of the cluster, one after the other; nil means 1, 3, 5, 3.
	Sizes []int
	// Steady is how long load flows at each size; 0 means 10 s.
	Steady time.Duration
	// Rate is the load in messages a second; 0 means 100.
	Rate float64
	// Within bounds each change of size; 0 means 5 min.
	Within time.Duration
}

func (o Options) filled() Options {
	if o.Sizes == nil {
		o.Sizes = []int{1, 3, 5, 3}
	}
	if o.Steady == 0 {
		o.Steady = 10 * time.Second
	}
	if o.Rate == 0 {
		o.Rate = 100
	}
	if o.Within == 0 {
		o.Within = 5 * time.Minute
	}
	return o
}

const (
	// hopTakes is how long the next hop takes for a message, so that mail is
	// under way when its shard's replicas move.
	hopTakes = 100 * time.Millisecond
	// replicas is how many a shard has where there are as many members.
	replicas = 3
	// asking is how often a node is asked whether all is in place.
	asking = 250 * time.Millisecond
)

// Run changes the size of a cluster under load and reports; say is told what
// happens. The error says what could not be done, and the report then holds
// the stages before it.
func Run(ctx context.Context, o Options, say func(string)) (report Report, err error) {
	o = o.filled()
	if err := o.check(); err != nil {
		return report, err
	}
	if o.Dir == "" {
		if o.Dir, err = os.MkdirTemp("", "members-"); err != nil {
			return report, err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(o.Dir)) }()
	}
	starting, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	t, err := trial.Start(starting, trial.Options{
		Binary: o.Binary, Dir: o.Dir, Nodes: o.Sizes[0], Edit: configure,
		Sink: sink.Mode{Delay: sink.Duration(hopTakes)},
	})
	if err != nil {
		return report, err
	}
	defer t.Close()
	g := &growth{o: o, t: t, say: say, clients: &clients{t: t, rate: o.Rate}, made: o.Sizes[0]}
	stages, err := g.run(ctx)
	report = newReport(o, stages, g.clients.end())
	if err != nil {
		return report, err
	}
	return report, g.judge(ctx, &report)
}

func (o Options) check() error {
	for _, n := range o.Sizes {
		if n < 1 || n > 9 {
			return fmt.Errorf("%d nodes: 1 to 9 are possible", n)
		}
	}
	return nil
}

// configure lifts the limits that are meant for clients with addresses of
// their own, and for disks that are not shared.
func configure(_ string, config []byte) []byte {
	config = bytes.Replace(config, []byte("per_client: 50,"), []byte("per_client: 4000,"), 1)
	return bytes.Replace(config, []byte("free_disk: 5GB"), []byte("free_disk: 100MB"), 1)
}

// growth is a cluster that changes its size.
type growth struct {
	o       Options
	t       *trial.Trial
	say     func(string)
	clients *clients
	made    int // nodes so far, for their names
}

// run goes through the sizes.
func (g *growth) run(ctx context.Context) ([]Stage, error) {
	if err := g.clients.follow(ctx); err != nil {
		return nil, err
	}
	var stages []Stage
	before := 0
	for _, size := range g.o.Sizes {
		s := Stage{From: before, To: size, began: time.Now()}
		g.say(s.name())
		err := g.change(ctx, size)
		s.Took = time.Since(s.began).Seconds()
		stages = append(stages, s)
		if err != nil {
			return stages, fmt.Errorf("%s: %w", s.name(), err)
		}
		if err := proc.Sleep(ctx, g.o.Steady); err != nil {
			return stages, err
		}
		before = size
	}
	return stages, nil
}

// change brings the cluster to a size and waits until every shard has all its
// replicas.
func (g *growth) change(ctx context.Context, size int) error {
	ctx, cancel := context.WithTimeout(ctx, g.o.Within)
	defer cancel()
	for len(g.t.Cluster.Nodes) < size {
		if err := g.join(ctx); err != nil {
			return err
		}
	}
	for len(g.t.Cluster.Nodes) > size {
		if err := g.leave(ctx, g.t.Cluster.Nodes[0]); err != nil {
			return err
		}
	}
	lack := ""
	err := trial.Wait(ctx, "all replicas", asking, func() (bool, error) {
		var s proc.Status
		if err := g.t.Cluster.Query(ctx, &s, "cluster", "status"); err != nil {
			lack = err.Error()
			return false, nil // it may be changing its leader: ask again
		}
		lack = s.Missing(size, replicas)
		return lack == "", nil
	})
	if err != nil {
		return fmt.Errorf("%w: %s", err, lack)
	}
	return nil
}

// join adds one node, and puts it on the clients' list when it is ready.
func (g *growth) join(ctx context.Context) error {
	g.made++
	n, err := g.t.Cluster.Join(ctx, "n"+strconv.Itoa(g.made), "")
	if err != nil {
		return err
	}
	if err := n.Start(); err != nil {
		return err
	}
	if err := n.WaitReady(ctx); err != nil {
		return err
	}
	g.say(n.Name + " is ready")
	return g.clients.follow(context.WithoutCancel(ctx))
}

// leave has a node go, and takes it off the clients' list when it has ended.
func (g *growth) leave(ctx context.Context, n *proc.Node) error {
	if err := g.t.Cluster.Remove(ctx, n); err != nil {
		return err
	}
	g.say(n.Name + " has left")
	return g.clients.follow(context.WithoutCancel(ctx))
}

// judge waits until all mail is delivered, and compares.
func (g *growth) judge(ctx context.Context, report *Report) error {
	ctx, cancel := context.WithTimeout(ctx, g.o.Within)
	defer cancel()
	if err := g.t.WaitEmpty(ctx); err != nil {
		return err
	}
	differences, err := g.t.Differences(ctx)
	if err != nil {
		return err
	}
	v, err := g.t.Judge(ctx)
	report.Differences, report.Verdict = differences, v
	return err
}
