package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"quorumta/bench/load"
	"quorumta/bench/proc"
	"quorumta/bench/sink"
	"quorumta/bench/takeover"
)

// The load: clients that wait for a second and turn to the next node.
const (
	clients  = 32
	patience = time.Second
)

// A round is bounded; one that moves much takes longer.
const (
	roundWithin = time.Minute
	largeWithin = 3 * time.Minute
	// askWithin bounds the questions after it.
	askWithin = 2 * time.Minute
)

// round is one fault on a bed.
type round struct {
	*bed
	random *rand.Rand

	mu      sync.Mutex // guards records
	records []load.Record

	// What follows belongs to the round's goroutine.
	fault  takeover.Fault
	victim []string
	note   string // what a reader of the result should know
}

// try does one round.
func (b *bed) try(ctx context.Context, f fault, random *rand.Rand) Result {
	started := time.Now()
	within := roundWithin
	if f.large {
		within = largeWithin
	}
	recovering, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	r := &round{bed: b, random: random}
	result := Result{Fault: f.name, Takeover: -1}
	err := r.run(recovering, f, &result)
	if err == nil {
		// The history of the whole bed may take long to read: that is not the
		// cluster's recovery.
		asking, done := context.WithTimeout(ctx, askWithin)
		defer done()
		err = r.judge(asking, &result)
	}
	if err != nil {
		result.Problem = err.Error()
	}
	result.Note = r.note
	result.Victim = strings.Join(r.victim, " ")
	result.Took = time.Since(started).Seconds()
	return result
}

// run makes load, strikes, and waits until all is running and delivered.
func (r *round) run(ctx context.Context, f fault, result *Result) error {
	loading, stop := context.WithCancel(ctx)
	defer stop()
	l, err := r.trial.NewLoad(load.Options{
		Sessions: clients, Rate: r.o.Rate, ConnectTimeout: patience, CommandTimeout: patience, DotTimeout: patience,
		Record: r.record,
	})
	if err != nil {
		return err
	}
	reports := make(chan load.Report, 1)
	go func() { reports <- l.Run(loading) }()
	err = r.wait(ctx, r.o.before())
	if err == nil {
		err = f.strike(ctx, r)
	}
	if err == nil {
		err = r.revive(ctx, result)
	}
	if err == nil {
		err = r.wait(ctx, r.o.after())
	}
	stop()
	result.loaded(<-reports)
	if err != nil {
		return err
	}
	return r.trial.WaitEmpty(ctx)
}

func (r *round) record(rec load.Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.records = append(r.records, rec)
}

// revive starts the nodes that do not run and waits for them.
func (r *round) revive(ctx context.Context, result *Result) error {
	for _, m := range r.members {
		if m.Running() {
			continue
		}
		result.Restarted = append(result.Restarted, m.Name)
		if err := m.Start(); err != nil {
			return err
		}
	}
	for _, m := range r.members {
		if err := m.WaitReady(ctx); err != nil {
			return err
		}
	}
	return nil
}

// judge compares what was delivered with what was acknowledged, and the replicas
// with each other.
func (r *round) judge(ctx context.Context, result *Result) error {
	// A replica that has not caught up yet tells an incomplete history: those
	// that are compared have.
	differences, err := r.trial.Differences(ctx)
	if err != nil {
		return err
	}
	result.Differences = differences
	r.mu.Lock()
	records := r.records
	r.mu.Unlock()
	v, err := r.trial.JudgeOf(ctx, records)
	if err != nil {
		return err
	}
	result.judged(v)
	result.InDoubt = v.InDoubt - r.doubts
	r.doubts = v.InDoubt
	acked := map[string]load.Record{}
	for _, rec := range records {
		if rec.Class == load.Acknowledged {
			acked[rec.ID] = rec
		}
	}
	if len(r.fault.Shards) > 0 {
		result.Takeover = r.fault.Takeover(r.trial.Sink, acked)
	}
	for _, m := range r.members {
		for _, word := range alarms {
			n, err := m.Logged(word)
			if err != nil {
				return err
			}
			if n > 0 {
				return fmt.Errorf("%s logged %q: see %s", m.Name, word, m.LogFile)
			}
		}
	}
	return nil
}

// alarms are words that no node logs, whatever strikes it.
var alarms = []string{"panic", "goroutine ", "the replicas of a shard differ"}

// backlog is how long the next hop defers half of the mail before a fault, so
// that there is mail due, and mail in flight, when it strikes.
const backlog = time.Second

// strike does the act to the victims; the shards that they lead are those that
// are taken over.
func (r *round) strike(ctx context.Context, act func() error, victims ...*member) error {
	var nodes []*proc.Node
	for _, v := range victims {
		nodes = append(nodes, v.Node)
		r.victim = append(r.victim, v.Name)
	}
	if err := r.sink(sink.Mode{Action: sink.Defer, Stage: sink.AtRcpt, Percent: 50, Delay: sink.Duration(hopTakes)}); err != nil {
		return err
	}
	if err := r.wait(ctx, backlog); err != nil {
		return err
	}
	var err error
	if r.fault, err = takeover.Of(ctx, r.trial, nodes...); err != nil {
		return err
	}
	r.fault.At = time.Now()
	err = act()
	return errors.Join(err, r.sink(sink.Mode{Delay: sink.Duration(hopTakes)}))
}

// leader draws a member among those that lead a shard.
func (r *round) leader(ctx context.Context) (*member, error) {
	var s proc.Status
	if err := r.trial.Cluster.Query(ctx, &s, "cluster", "status"); err != nil {
		return nil, err
	}
	var leaders []*member
	for _, m := range r.members {
		for _, shard := range s.Shards {
			if shard.Leader == m.Name {
				leaders = append(leaders, m)
				break
			}
		}
	}
	if len(leaders) == 0 {
		return nil, errors.New("no shard has a leader")
	}
	return leaders[r.random.IntN(len(leaders))], nil
}

// follower draws a member and hands its leads to another one.
func (r *round) follower(ctx context.Context) (*member, error) {
	i := r.random.IntN(len(r.members))
	m, heir := r.members[i], r.members[(i+1)%len(r.members)]
	var s proc.Status
	if err := r.trial.Cluster.Query(ctx, &s, "cluster", "status"); err != nil {
		return nil, err
	}
	for _, shard := range s.Shards {
		if shard.Leader != m.Name {
			continue
		}
		if out, err := heir.Command(ctx, "cluster", "transfer", fmt.Sprint(shard.ID), heir.Name); err != nil {
			return nil, fmt.Errorf("%w: %s", err, out)
		}
	}
	return m, nil
}

// some draws n members.
func (r *round) some(n int) []*member {
	var drawn []*member
	for _, i := range r.random.Perm(len(r.members))[:n] {
		drawn = append(drawn, r.members[i])
	}
	return drawn
}

// majority is how many nodes make one.
func (r *round) majority() int { return len(r.members)/2 + 1 }

// hold lets the fault last.
func (r *round) hold(ctx context.Context) error { return r.wait(ctx, r.o.hold()) }

func (r *round) wait(ctx context.Context, d time.Duration) error {
	sleep(ctx, d)
	return ctx.Err()
}

// sink sets how the next hop behaves.
func (r *round) sink(m sink.Mode) error { return r.trial.Sink.SetMode(m) }

// sleep waits and reports whether ctx is still good.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
