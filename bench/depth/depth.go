package depth

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
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
	// Levels are the numbers of queued messages, ascending; each is reached
	// from the one before. They are of Size bytes and come over Sessions.
	Levels   []int64
	Size     int
	Sessions int
	// Cell is the new mail whose rate is measured.
	Cell work.Cell
	Work work.Options
	Say  func(string)
}

// Level is how a cluster works beside so many queued messages.
type Level struct {
	Queued int64 `json:"queued"`
	// Filled is the rate at which the last of them came.
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

// Measure fills a cluster and measures it at each level.
func Measure(ctx context.Context, o Options) (report Report, err error) {
	hop, err := work.NewHop(sink.Mode{})
	if err != nil {
		return report, err
	}
	defer hop.Close()
	dir, err := os.MkdirTemp(o.Dir, "depth-")
	if err != nil {
		return report, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	dead, err := subject.FreeAddress()
	if err != nil {
		return report, err
	}
	o.Cluster.Edit = withDead(o.Cluster.Edit, dead)
	c, err := subject.NewCluster(subject.Place{Dir: dir, Hop: hop.Address()}, o.Cluster)
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, c.Stop()) }()
	if err := c.Start(ctx); err != nil {
		return report, err
	}
	var queued int64
	for _, level := range append([]int64{0}, o.Levels...) {
		l := Level{Queued: level}
		if level > queued {
			if l.Filled, err = o.fill(ctx, c, level-queued); err != nil {
				return report, err
			}
			queued = level
		}
		if err := o.look(ctx, c, hop, dir, &l); err != nil {
			return report, err
		}
		o.Say(fmt.Sprintf("%d queued: accepted %.0f/s, relayed %.0f/s, p99 %.1f ms, count %.2f s, list %.2f s, memory %d MB",
			level, l.Result.AcceptRate, l.Result.RelayRate, l.Result.Latency.P99, l.Count, l.List, l.Memory/1_000_000))
		report.Levels = append(report.Levels, l)
	}
	return report, nil
}

// withDead adds a router for the dead domain to what edit does.
func withDead(edit func(string, []byte) []byte, address string) func(string, []byte) []byte {
	return func(node string, config []byte) []byte {
		if edit != nil {
			config = edit(node, config)
		}
		return subject.FirstRouter(config, fmt.Sprintf("{name: dead, if: rcpt.domain == %q, hosts: [%q]}", deadDomain, address))
	}
}

// fill queues so many messages more, over connections that carry many.
func (o Options) fill(ctx context.Context, c *subject.Cluster, count int64) (rate float64, err error) {
	l, err := load.New(load.Options{Targets: c.Addresses(), Sessions: o.Sessions, Count: count, Size: o.Size,
		Domains: []string{deadDomain}, PerConnection: 10_000, ConnectTimeout: 10 * time.Second, DotTimeout: 5 * time.Minute})
	if err != nil {
		return 0, err
	}
	r := l.Run(ctx)
	if r.Acknowledged != count {
		return 0, fmt.Errorf("%d of %d messages were queued: %v", r.Acknowledged, count, r.Refusals[:min(1, len(r.Refusals))])
	}
	return r.Rate, nil
}

// look measures beside what is queued.
func (o Options) look(ctx context.Context, c *subject.Cluster, hop *work.Hop, dir string, l *Level) (err error) {
	l.Result, err = work.Run(ctx, fmt.Sprintf("quorumta-%d", len(c.Nodes)), c, hop, o.Cell, o.Work)
	if err != nil {
		return err
	}
	l.Result.Histogram = nil
	for _, p := range l.Result.Parts {
		l.Memory = max(l.Memory, p.Memory)
	}
	for _, n := range c.Nodes {
		l.Disk = max(l.Disk, size(filepath.Join(dir, n.Name)))
	}
	if l.Count, err = countAll(ctx, c, l.Queued); err != nil {
		return err
	}
	l.List, err = timed(func() error {
		_, err := c.Nodes[0].Command(ctx, "queue", "list", "--limit", "100")
		return err
	})
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

// size is the bytes of all files below a folder.
func size(dir string) int64 {
	var sum int64
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // files come and go while we walk
		}
		if info, err := d.Info(); err == nil {
			sum += info.Size()
		}
		return nil
	})
	return sum
}
