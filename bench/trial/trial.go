// Package trial puts a cluster of real processes between a load and a sink and
// has a verdict passed on what arrived.
package trial

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"quorumta/bench/load"
	"quorumta/bench/proc"
	"quorumta/bench/sink"
	"quorumta/bench/verdict"
)

// Options says what is tried. Zero means a default only where it is said.
type Options struct {
	// Binary is the program; Dir gets its configurations and data.
	Binary string
	Dir    string
	// Nodes is how many.
	Nodes int
	// Hosts, Trust and Launch are proc's, for nodes on machines of their own;
	// SinkListen is then where the next hop is, host:port. "" means loopback,
	// and that the nodes take it for their smarthost.
	Hosts      []string
	Trust      string
	Launch     func(node string, cmd *exec.Cmd) error
	SinkListen string
	// Sink is how the next hop behaves at first.
	Sink sink.Mode
	// Edit changes a node's configuration; nil: as init wrote it.
	Edit func(node string, config []byte) []byte
	// Env is added to the nodes' environment.
	Env []string
}

// Trial is a running cluster with its next hop.
type Trial struct {
	Cluster *proc.Cluster
	Sink    *sink.Sink
	// Others are next hops of the caller's that are judged with Sink.
	Others []*sink.Sink

	cancel context.CancelFunc
	sunk   chan error // the sink's end

	mu      sync.Mutex
	records []load.Record
}

// Start starts sink and cluster and returns when every node is ready and
// every shard has a leader.
func Start(ctx context.Context, o Options) (*Trial, error) {
	listen := cmp.Or(o.SinkListen, "127.0.0.1:0")
	s, err := sink.Listen(sink.Options{Listen: listen, Mode: o.Sink})
	if err != nil {
		return nil, err
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	t := &Trial{Sink: s, cancel: cancel, sunk: make(chan error, 1)}
	go func() { t.sunk <- s.Run(running) }()
	smarthost := ""
	if o.SinkListen == "" {
		smarthost = s.Address()
	}
	t.Cluster, err = proc.New(ctx, proc.Options{
		Binary: o.Binary, Dir: o.Dir, Nodes: o.Nodes, Hosts: o.Hosts, Trust: o.Trust, Launch: o.Launch,
		Smarthost: smarthost, Edit: o.Edit, Env: o.Env,
	})
	if err == nil {
		err = t.Cluster.Start(ctx)
	}
	if err == nil {
		err = t.WaitLed(ctx)
	}
	if err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

// Close kills the nodes and ends the sink.
func (t *Trial) Close() {
	if t.Cluster != nil {
		t.Cluster.Kill()
	}
	t.cancel()
	<-t.sunk
}

// WaitLed returns when every shard has a leader and the leads are even.
func (t *Trial) WaitLed(ctx context.Context) error {
	return t.wait(ctx, "a leader for every shard, evenly", func() (bool, error) {
		var s proc.Status
		if err := t.Cluster.Query(ctx, &s, "cluster", "status"); err != nil {
			return false, nil // not up yet: ask again
		}
		leads := map[string]int{}
		for _, shard := range s.Shards {
			if shard.Leader == "" {
				return false, nil
			}
			leads[shard.Leader]++
		}
		most := (len(s.Shards) + len(t.Cluster.Nodes) - 1) / len(t.Cluster.Nodes)
		for _, n := range leads {
			if n > most {
				return false, nil
			}
		}
		return len(s.Shards) > 0, nil
	})
}

// Load runs a load against all nodes and keeps its records for the verdict.
func (t *Trial) Load(ctx context.Context, o load.Options) (load.Report, error) {
	l, err := t.NewLoad(o)
	if err != nil {
		return load.Report{}, err
	}
	return l.Run(ctx), nil
}

// NewLoad makes a load against all nodes, whose records are kept for the
// verdict, for a caller that wants to look on while it runs.
func (t *Trial) NewLoad(o load.Options) (*load.Load, error) {
	if o.Targets == nil {
		o.Targets = t.Cluster.SMTP()
	}
	also := o.Record
	o.Record = func(r load.Record) {
		t.mu.Lock()
		t.records = append(t.records, r)
		t.mu.Unlock()
		if also != nil {
			also(r)
		}
	}
	return load.New(o)
}

// WaitEmpty returns when no message is queued any more.
func (t *Trial) WaitEmpty(ctx context.Context) error {
	return t.wait(ctx, "an empty queue", func() (bool, error) {
		var c proc.Count
		if err := t.Cluster.Query(ctx, &c, "queue", "count"); err != nil {
			return false, nil
		}
		return c.Total == 0 && len(c.Stale) == 0, nil
	})
}

// Judge compares what was acknowledged with what has arrived and with what
// the cluster calls in doubt.
func (t *Trial) Judge(ctx context.Context) (verdict.Verdict, error) {
	t.mu.Lock()
	records := slices.Clone(t.records)
	t.mu.Unlock()
	return t.JudgeOf(ctx, records)
}

// JudgeOf is Judge for some of the messages; the others are none of its
// business.
func (t *Trial) JudgeOf(ctx context.Context, records []load.Record) (verdict.Verdict, error) {
	events, err := t.Cluster.Events(ctx)
	if err != nil {
		return verdict.Verdict{}, fmt.Errorf("ask for recipients in doubt: %w", err)
	}
	doubts, err := verdict.ReadDoubts(bytes.NewReader(events))
	if err != nil {
		return verdict.Verdict{}, fmt.Errorf("read the events: %w", err)
	}
	j := verdict.NewJudge(doubts)
	for _, r := range records {
		j.Record(r)
	}
	stats := t.Sink.Stats()
	for _, s := range append([]*sink.Sink{t.Sink}, t.Others...) {
		err = errors.Join(err, s.Each(func(s sink.Seen) error {
			j.Seen(s)
			return nil
		}))
		stats.Overflow = max(stats.Overflow, s.Stats().Overflow)
	}
	j.Stats(stats)
	return j.Verdict(), err
}

// Differences waits until every replica has answered, and counts those that
// are not as the others of their shard.
func (t *Trial) Differences(ctx context.Context) (int, error) {
	for {
		d, err := t.Cluster.Digest(ctx)
		missing := d.Unanswered()
		if err == nil && len(missing) == 0 {
			return d.Differences(), nil
		}
		pause := time.NewTimer(200 * time.Millisecond)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return d.Differences(), fmt.Errorf("the replicas could not be compared: %w: %s", errors.Join(err, ctx.Err()), strings.Join(missing, "; "))
		}
	}
}

// Busiest is the running node that leads the shards with the most unfinished
// mail: the one whose death is felt most.
func (t *Trial) Busiest(ctx context.Context) (*proc.Node, error) {
	var s proc.Status
	if err := t.Cluster.Query(ctx, &s, "cluster", "status"); err != nil {
		return nil, err
	}
	var best *proc.Node
	most := -1
	for _, n := range t.Cluster.Nodes {
		if !n.Running() {
			continue
		}
		queued := 0
		for _, shard := range s.Shards {
			if shard.Leader == n.Name {
				queued += shard.Queued
			}
		}
		if queued > most {
			best, most = n, queued
		}
	}
	if best == nil {
		return nil, errors.New("no node runs")
	}
	return best, nil
}

// wait asks every 50 ms until it is told yes.
func (t *Trial) wait(ctx context.Context, what string, yes func() (bool, error)) error {
	return Wait(ctx, what, 50*time.Millisecond, yes)
}

// Wait asks at once, and then as often as every says, until it is told yes or
// an error. Each question may be a process of its own, which costs the cluster
// that is measured some of its processors.
func Wait(ctx context.Context, what string, every time.Duration, yes func() (bool, error)) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		done, err := yes()
		if err != nil || done {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, ctx.Err())
		}
	}
}
