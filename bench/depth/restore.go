package depth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"quorumta/bench/depth/copies"
	"quorumta/bench/proc"
	"quorumta/bench/sink"
	"quorumta/bench/subject"
	"quorumta/bench/work"
)

// originals is how many messages at most a long queue is made of copies of.
const originals = 4000

// restore measures the levels that are reached by restoring a backup.
func (g ground) restore(ctx context.Context, levels []int64, report *Report) error {
	if len(levels) == 0 {
		return nil
	}
	small := filepath.Join(g.dir, "originals")
	if err := g.seed(ctx, min(originals, levels[len(levels)-1]), small); err != nil {
		return fmt.Errorf("make the messages that are to be copied: %w", err)
	}
	for _, level := range levels {
		l := Level{Queued: level, Way: Restored}
		if err := g.restored(ctx, small, &l); err != nil {
			return fmt.Errorf("%d queued: %w", level, err)
		}
		report.Levels = append(report.Levels, l)
	}
	return nil
}

// seed queues a few messages in a cluster, or most of them where the cluster is
// short of breath, and writes its backup.
func (g ground) seed(ctx context.Context, count int64, file string) (err error) {
	address := g.dead
	if g.Deferred {
		putOff, err := work.NewHop(sink.Mode{Action: sink.Defer, Stage: sink.AtRcpt})
		if err != nil {
			return err
		}
		defer putOff.Close()
		address = putOff.Address()
		g.Cluster.Edit = late(g.Cluster.Edit)
	}
	c, dir, err := g.cluster("seed", address)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Stop(), os.RemoveAll(dir)) }()
	if err := c.Start(ctx); err != nil {
		return err
	}
	r, err := g.submit(ctx, c, count)
	if err != nil {
		return err
	}
	if r.Acknowledged < (count+1)/2 {
		return fmt.Errorf("%d of %d were queued: %v", r.Acknowledged, count, r.Refusals[:min(1, len(r.Refusals))])
	}
	if err := g.holds(ctx, c, r.Acknowledged, count, resting); err != nil {
		return err
	}
	_, err = c.Nodes[0].Command(ctx, "cluster", "backup", file)
	return err
}

// late adds to what edit does that mail is tried again after hours, not
// minutes: none is to become due while a cluster is measured.
func late(edit func(string, []byte) []byte) func(string, []byte) []byte {
	return func(node string, config []byte) []byte {
		if edit != nil {
			config = edit(node, config)
		}
		return bytes.Replace(config, []byte("F 2h 15m"), []byte("F 12h 6h"), 1)
	}
}

// resting is how long all messages may take to have been tried.
const resting = 2 * time.Minute

// holds waits until the queue has so many messages, least to most, none in
// flight, and all put off where they are to be.
func (g ground) holds(ctx context.Context, c *subject.Cluster, least, most int64, patience time.Duration) error {
	deadline := time.Now().Add(patience)
	for {
		var count proc.Count
		err := c.Query(ctx, &count, "queue", "count")
		total := int64(count.Total)
		resting := count.InFlight == 0 && (!g.Deferred || count.Deferred == count.Total)
		if err == nil && len(count.Stale) == 0 && total >= least && total <= most && resting {
			return nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return errors.Join(fmt.Errorf("the queue has %d messages, %d put off, %d in flight, and is to have %d to %d at rest; shards not asked: %v",
				count.Total, count.Deferred, count.InFlight, least, most, count.Stale), err)
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

const (
	// calm is what a node may use of a processor when it has settled: Raft's
	// heartbeats are 0.045. patience is how long that is waited for.
	calm     = 0.07
	patience = time.Minute
)

// settle waits until the nodes have merged what was restored: a queue that
// fills by itself is merged as it grows. Where all of it is due, they go on
// trying, and are measured as they are.
func (g ground) settle(ctx context.Context, c *subject.Cluster) error {
	began := time.Now()
	before, err := used(c)
	for err == nil && time.Since(began) < patience {
		if err = proc.Sleep(ctx, 2*time.Second); err != nil {
			break
		}
		var now time.Duration
		if now, err = used(c); err == nil && (now-before).Seconds()/2 < calm*float64(len(c.Nodes)) {
			g.Say(fmt.Sprintf("the nodes are at rest after %.0f s", time.Since(began).Seconds()))
			return nil
		}
		before = now
	}
	if err == nil {
		g.Say(fmt.Sprintf("the nodes are not at rest after %s", patience))
	}
	return err
}

// used is the processor time of all nodes.
func used(c *subject.Cluster) (sum time.Duration, err error) {
	for _, n := range c.Nodes {
		t, err := n.CPU()
		if err != nil {
			return 0, err
		}
		sum += t
	}
	return sum, nil
}

// restored measures a cluster that begins with so many copies.
func (g ground) restored(ctx context.Context, small string, l *Level) (err error) {
	began := time.Now()
	many := filepath.Join(g.dir, "copies")
	defer func() { err = errors.Join(err, os.RemoveAll(many)) }()
	g.Say(fmt.Sprintf("%d queued: writing the backup of so many", l.Queued))
	if err := copies.Multiply(small, many, l.Queued); err != nil {
		return err
	}
	c, dir, err := g.cluster(fmt.Sprintf("restored-%d", l.Queued), g.dead)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Stop(), os.RemoveAll(dir)) }()
	if err := g.give(ctx, c, many); err != nil {
		return err
	}
	if err := os.Remove(many); err != nil { // it may be half of what the disk has
		return err
	}
	if err := c.Start(ctx); err != nil {
		return err
	}
	if _, err := c.Nodes[0].Command(ctx, "queue", "release", "--restored"); err != nil {
		return err
	}
	if err := g.holds(ctx, c, l.Queued, l.Queued, answering); err != nil {
		return err
	}
	took := time.Since(began)
	l.Filled = float64(l.Queued) / took.Seconds()
	g.Say(fmt.Sprintf("%d queued: restored in %.0f s", l.Queued, took.Seconds()))
	if err := g.settle(ctx, c); err != nil {
		return err
	}
	return g.look(ctx, c, dir, l)
}

// give restores the backup on each node, on all at once.
func (g ground) give(ctx context.Context, c *subject.Cluster, file string) error {
	began := time.Now()
	if info, err := os.Stat(file); err == nil {
		g.Say(fmt.Sprintf("restoring %d MB on %d nodes", info.Size()/1_000_000, len(c.Nodes)))
	}
	failed := make(chan error, len(c.Nodes))
	for _, n := range c.Nodes {
		go func() {
			_, err := n.Command(ctx, "cluster", "restore", file)
			failed <- err
		}()
	}
	var err error
	for i := range c.Nodes {
		err = errors.Join(err, <-failed)
		g.Say(fmt.Sprintf("%d of %d nodes have it after %.0f s", i+1, len(c.Nodes), time.Since(began).Seconds()))
	}
	return err
}
