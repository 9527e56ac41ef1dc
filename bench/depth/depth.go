package depth

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"quorumta/bench/load"
	"quorumta/bench/proc"
	"quorumta/bench/sink"
	"quorumta/bench/subject"
	"quorumta/bench/work"
)

// Options says what is measured.
type Options struct {
	// Cluster is what runs, Dir where.
	Cluster subject.QuorumtaOptions
	Dir     string
	// Levels are the numbers of queued messages, ascending; they are of Size
	// bytes. Those up to Sent are reached in one cluster, each from the one
	// before, by sending over Sessions; each other in a cluster of its own,
	// that is restored from a backup with so many.
	Levels []int64
	Sent   int64
	// Deferred: what is restored has been tried and waits for hours, with a
	// history. Otherwise it is due, like what is sent, to a site that is dead,
	// and looked at again and again.
	Deferred bool
	Size     int
	Sessions int
	// Cell is the new mail whose rate is measured.
	Cell work.Cell
	Work work.Options
	Say  func(string)
}

// Way is how messages came into the queue.
type Way string

// The ways.
const (
	Sent     Way = "sent"     // by SMTP
	Restored Way = "restored" // from a backup
)

// Level is how a cluster works beside so many queued messages.
type Level struct {
	Queued int64 `json:"queued"`
	// Way is how they came, Filled the rate at which the last of them did.
	Way    Way         `json:"way,omitempty"`
	Filled float64     `json:"filled_per_s,omitempty"`
	Result work.Result `json:"result"`
	// Count and List are what "queue count" and "queue list --limit 100" take,
	// seconds.
	Count float64 `json:"count_s"`
	List  float64 `json:"list_s"`
	// Memory is the largest node's anonymous memory, and Disk the largest
	// node's files, bytes.
	Memory int64 `json:"memory"`
	Disk   int64 `json:"disk"`
}

// Report is all levels, the first of them an empty queue.
type Report struct {
	Levels []Level `json:"levels"`
}

// deadDomain is where the queued mail is to go, and nobody listens.
const deadDomain = "dead.example"

// ground is where clusters are measured one after the other.
type ground struct {
	Options
	hop  *work.Hop
	dir  string
	dead string // address of the dead domain
}

// Measure measures a cluster at each level.
func Measure(ctx context.Context, o Options) (report Report, err error) {
	hop, err := work.NewHop(sink.Mode{})
	if err != nil {
		return report, err
	}
	defer hop.Close()
	g := ground{Options: o, hop: hop}
	if g.dir, err = os.MkdirTemp(o.Dir, "depth-"); err != nil {
		return report, err
	}
	defer func() { _ = os.RemoveAll(g.dir) }()
	if g.dead, err = subject.FreeAddress(); err != nil {
		return report, err
	}
	few := 0
	for few < len(o.Levels) && o.Levels[few] <= o.Sent {
		few++
	}
	if err := g.send(ctx, append([]int64{0}, o.Levels[:few]...), &report); err != nil {
		return report, err
	}
	return report, g.restore(ctx, o.Levels[few:], &report)
}

// cluster makes a cluster in a folder of its own, for which the dead domain is
// at an address; nothing runs yet.
func (g ground) cluster(name, dead string) (c *subject.Cluster, dir string, err error) {
	dir = filepath.Join(g.dir, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, "", err
	}
	o := g.Cluster
	o.Edit = func(node string, config []byte) []byte {
		if g.Cluster.Edit != nil {
			config = g.Cluster.Edit(node, config)
		}
		return subject.FirstRouter(config, fmt.Sprintf("{name: dead, if: rcpt.domain == %q, hosts: [%q]}", deadDomain, dead))
	}
	c, err = subject.NewCluster(subject.Place{Dir: dir, Hop: g.hop.Address()}, o)
	return c, dir, err
}

// send measures the levels that are reached by sending.
func (g ground) send(ctx context.Context, levels []int64, report *Report) (err error) {
	c, dir, err := g.cluster("sent", g.dead)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Stop(), os.RemoveAll(dir)) }()
	if err := c.Start(ctx); err != nil {
		return err
	}
	var queued int64
	for _, level := range levels {
		l := Level{Queued: level}
		if level > queued {
			l.Way = Sent
			if l.Filled, err = g.fill(ctx, c, level-queued); err != nil {
				return err
			}
			queued = level
		}
		if err := g.look(ctx, c, dir, &l); err != nil {
			return err
		}
		report.Levels = append(report.Levels, l)
	}
	return nil
}

// fill queues so many messages more.
func (g ground) fill(ctx context.Context, c *subject.Cluster, count int64) (rate float64, err error) {
	r, err := g.submit(ctx, c, count)
	if err == nil && r.Acknowledged != count {
		err = fmt.Errorf("%d of %d messages were queued: %v", r.Acknowledged, count, r.Refusals[:min(1, len(r.Refusals))])
	}
	return r.Rate, err
}

// submit sends so many messages, over connections that carry many.
func (g ground) submit(ctx context.Context, c *subject.Cluster, count int64) (r load.Report, err error) {
	l, err := load.New(load.Options{Targets: c.Addresses(), Sessions: g.Sessions, Count: count, Size: g.Size,
		Domains: []string{deadDomain}, PerConnection: 10_000, ConnectTimeout: 10 * time.Second, DotTimeout: 5 * time.Minute})
	if err != nil {
		return r, err
	}
	return l.Run(ctx), nil
}

// look measures beside what is queued.
func (g ground) look(ctx context.Context, c *subject.Cluster, dir string, l *Level) (err error) {
	l.Result, err = work.Run(ctx, fmt.Sprintf("quorumta-%d", len(c.Nodes)), c, g.hop, g.Cell, g.Work)
	if err != nil {
		return err
	}
	l.Result.Histogram = nil
	for _, p := range l.Result.Parts {
		l.Memory = max(l.Memory, p.Memory)
	}
	for _, n := range c.Nodes {
		l.Disk = max(l.Disk, proc.DiskUse(filepath.Join(dir, n.Name)))
	}
	if l.Count, err = countAll(ctx, c, l.Queued); err != nil {
		return err
	}
	l.List, err = timed(func() error {
		_, err := c.Nodes[0].Command(ctx, "queue", "list", "--limit", "100")
		return err
	})
	g.Say(fmt.Sprintf("%d queued: accepted %.0f/s, relayed %.0f/s, p99 %.1f ms, count %.2f s, list %.2f s, memory %d MB, disk %d MB",
		l.Queued, l.Result.AcceptRate, l.Result.RelayRate, l.Result.Latency.P99, l.Count, l.List, l.Memory/1_000_000, l.Disk/1_000_000))
	return err
}

// answering is how long every shard may take until it can be asked at its
// leader.
const answering = 30 * time.Second

// countAll is what a "queue count" takes that knows all shards, which must
// have so many messages at least.
func countAll(ctx context.Context, c *subject.Cluster, queued int64) (seconds float64, err error) {
	deadline := time.Now().Add(answering)
	for {
		var count proc.Count
		seconds, err = timed(func() error { return c.Query(ctx, &count, "queue", "count") })
		if err == nil && len(count.Stale) == 0 && int64(count.Total) >= queued {
			return seconds, nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return 0, errors.Join(fmt.Errorf("the queue has %d messages, %d were put there; shards not asked: %v", count.Total, queued, count.Stale), err)
		}
	}
}

func timed(f func() error) (seconds float64, err error) {
	started := time.Now()
	err = f()
	return time.Since(started).Seconds(), err
}
