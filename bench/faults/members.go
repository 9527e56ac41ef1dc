package faults

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"quorumta/bench/load"
	"quorumta/bench/proc"
	"quorumta/bench/sink"
)

// memberJoins has a new node join, which gets replicas and leads, and has it
// leave again.
func memberJoins(ctx context.Context, r *round) error {
	m, err := r.join(ctx)
	if err != nil {
		return err
	}
	r.victim = append(r.victim, m.Name)
	if err := r.waitVoter(ctx, m.Name); err != nil {
		return err
	}
	if err := r.wait(ctx, r.o.hold()/2); err != nil {
		return err
	}
	return r.leave(ctx, m)
}

// join makes a new member and waits until it is ready.
func (b *bed) join(ctx context.Context) (*member, error) {
	m := &member{name: "n" + strconv.Itoa(len(b.members)+len(b.former)+1)}
	b.members = append(b.members, m)
	host := ""
	if b.lab != nil {
		var err error
		if m.host, err = b.lab.Add(ctx, m.name); err != nil {
			return nil, err
		}
		host = m.host.Address.String()
	}
	err := b.furnish(ctx, m)
	if err == nil {
		m.Node, err = b.trial.Cluster.Join(ctx, m.name, host)
	}
	if err != nil {
		return nil, err
	}
	if err := m.Start(); err != nil {
		return nil, err
	}
	return m, m.WaitReady(ctx)
}

// leave has a member go, and ends it when the cluster has forgotten it.
func (b *bed) leave(ctx context.Context, m *member) error {
	if err := b.trial.Cluster.Remove(ctx, m.Node); err != nil {
		return err
	}
	b.members = slices.DeleteFunc(b.members, func(other *member) bool { return other == m })
	b.former = append(b.former, m)
	return nil
}

// waitVoter waits until a node votes in a shard, and in no shard does not.
func (r *round) waitVoter(ctx context.Context, name string) error {
	for {
		var s proc.Status
		err := r.trial.Cluster.Query(ctx, &s, "cluster", "status")
		votes, waits := s.Votes(name)
		if err == nil && votes > 0 && waits == 0 {
			return nil
		}
		if !sleep(ctx, 100*time.Millisecond) {
			return fmt.Errorf("%s votes in %d shards and waits in %d: %w", name, votes, waits, errors.Join(err, ctx.Err()))
		}
	}
}

// What a node misses that is to need a snapshot: more than a shard's log grows
// by until it is cut, 256 MiB, and more than is left of it then, which the bed's
// configuration makes little.
const (
	missedSize  = 20_000_000
	missedCount = 16 // for each shard
	// missedWithin is what a machine gets for that.
	missedWithin = time.Minute
	// lagTries is how often: where the disks are slow a node has some of it go to
	// other shards.
	lagTries = 3
)

// nodeLags keeps a node down until a shard's log has been cut, so that it needs
// a snapshot.
func nodeLags(ctx context.Context, r *round) (err error) {
	v, err := r.follower(ctx)
	if err != nil {
		return err
	}
	if err := r.strike(ctx, func() error { v.Kill(); return nil }, v); err != nil {
		return err
	}
	// What is not delivered stays in the state: a small one is sent whole.
	if err := r.sink(sink.Mode{Action: sink.Defer, Stage: sink.AtRcpt}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.sink(sink.Mode{Delay: sink.Duration(hopTakes)})) }()
	for range lagTries {
		if err := r.miss(ctx); err != nil {
			return err
		}
		sent, err := r.catchUp(ctx, v)
		if err != nil {
			return err
		}
		if sent > 0 {
			r.note = fmt.Sprintf("%s was sent %d snapshots", v.Name, sent)
			return nil
		}
		v.Kill() // what it missed was spread over several shards: once more
	}
	return fmt.Errorf("%s needed no snapshot", v.Name)
}

// catchUp starts a node, waits until it has what was committed, and returns how
// many snapshots it was sent.
func (r *round) catchUp(ctx context.Context, m *member) (sent int, err error) {
	var then proc.Status
	if err := r.trial.Cluster.Query(ctx, &then, "cluster", "status"); err != nil {
		return 0, err
	}
	before, err := r.trial.Cluster.Snapshots(m.Name)
	if err != nil {
		return 0, err
	}
	if err := m.Start(); err != nil {
		return 0, err
	}
	if err := m.WaitReady(ctx); err != nil {
		return 0, err
	}
	for {
		var now proc.Status
		err := r.trial.Cluster.Query(ctx, &now, "cluster", "status")
		lack := now.Behind(then, m.Name)
		if err == nil && lack == "" {
			break
		}
		if !sleep(ctx, 200*time.Millisecond) {
			return 0, fmt.Errorf("%s does not catch up: %s: %w", m.Name, lack, errors.Join(err, ctx.Err()))
		}
	}
	after, err := r.trial.Cluster.Snapshots(m.Name)
	return after - before, err
}

// miss has large messages accepted until the logs of some shards were cut.
func (r *round) miss(ctx context.Context) error {
	author, shards, err := r.leaderOfFew(ctx)
	if err != nil {
		return err
	}
	l, err := r.trial.NewLoad(load.Options{
		Targets: []string{author.SMTP}, Sessions: 4, Count: missedCount * int64(shards), Size: missedSize, Duration: missedWithin, Record: r.record,
	})
	if err != nil {
		return err
	}
	report := l.Run(ctx)
	if want := missedCount * int64(shards); report.Acknowledged < want {
		return fmt.Errorf("%s took only %d of %d large messages in %v: %v", author.Name, report.Acknowledged, want, missedWithin, report.Refusals[:min(3, len(report.Refusals))])
	}
	return nil
}

// leaderOfFew is the member that leads the fewest shards of those that lead any,
// and how many: what it takes goes to these.
func (r *round) leaderOfFew(ctx context.Context) (*member, int, error) {
	var s proc.Status
	if err := r.trial.Cluster.Query(ctx, &s, "cluster", "status"); err != nil {
		return nil, 0, err
	}
	leads := map[string]int{}
	for _, shard := range s.Shards {
		leads[shard.Leader]++
	}
	var least *member
	for _, m := range r.members {
		if n := leads[m.Name]; n > 0 && m.Running() && (least == nil || n < leads[least.Name]) {
			least = m
		}
	}
	if least == nil {
		return nil, 0, errors.New("no shard has a leader")
	}
	return least, leads[least.Name], nil
}

// diskWiped takes a node's data. It must not start without them until the
// cluster has taken it back.
func diskWiped(ctx context.Context, r *round) error {
	v, err := r.leader(ctx)
	if err != nil {
		return err
	}
	err = r.strike(ctx, func() error {
		v.Kill()
		return os.RemoveAll(r.data(v))
	}, v)
	if err != nil {
		return err
	}
	if err := v.Start(); err != nil {
		return err
	}
	if r.comesUp(ctx, v) {
		v.Kill()
		return fmt.Errorf("%s started on an empty disk", v.Name)
	}
	if err := r.wait(ctx, r.o.hold()/2); err != nil {
		return err
	}
	return r.rejoin(ctx, v)
}

// comesUp reports whether a node that was started becomes ready; one that does
// not within the time that faults hold is ended.
func (r *round) comesUp(ctx context.Context, m *member) bool {
	within, cancel := context.WithTimeout(ctx, r.o.hold())
	defer cancel()
	if m.WaitReady(within) == nil {
		return true
	}
	m.Kill()
	return false
}

// rejoin has the cluster take back a node whose data are gone.
func (r *round) rejoin(ctx context.Context, m *member) error {
	if err := r.trial.Cluster.Rejoin(ctx, m.Node); err != nil {
		return err
	}
	return r.waitVoter(ctx, m.Name)
}

// diskDamaged flips a bit in one of a node's files while it is down. It is
// either serves what is whole, or stops, and then it joins again.
func diskDamaged(ctx context.Context, r *round) error {
	v, err := r.leader(ctx)
	if err != nil {
		return err
	}
	err = r.strike(ctx, func() error {
		v.Kill()
		path, err := r.flip(r.data(v))
		r.note = "a bit of " + path
		return err
	}, v)
	if err != nil {
		return err
	}
	if err := v.Start(); err != nil {
		return err
	}
	if r.comesUp(ctx, v) {
		// What is damaged may be found only when it is read.
		if err := r.hold(ctx); err != nil {
			return err
		}
	}
	stopped, err := r.stopped(ctx, v)
	if err != nil {
		return err
	}
	if stopped == "" {
		r.note += " was flipped, and the node runs"
		return nil
	}
	r.note += " was flipped, and " + stopped + " stopped"
	v.Kill()
	if err := os.RemoveAll(r.data(v)); err != nil {
		return err
	}
	return r.rejoin(ctx, v)
}

// stopped says what of a node has stopped: itself, replicas, or "" for nothing.
func (r *round) stopped(ctx context.Context, m *member) (string, error) {
	if !m.Running() {
		return "the node", nil
	}
	var s proc.Status
	if err := m.Query(ctx, &s, "cluster", "status"); err != nil && m.Running() {
		return "", err
	}
	if !m.Running() { // just now
		return "the node", nil
	}
	for _, shard := range s.Shards {
		if shard.Stopped != "" {
			return fmt.Sprintf("its replica of shard %d", shard.ID), nil
		}
	}
	return "", nil
}

// flip flips a bit of one of the files below dir and returns its name.
func (r *round) flip(dir string) (string, error) {
	var files []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		if info, err := d.Info(); err == nil && info.Size() > 0 && d.Name() != "LOCK" {
			files = append(files, path)
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	if len(files) == 0 {
		return "", fmt.Errorf("there are no files in %s", dir)
	}
	path := files[r.random.IntN(len(files))]
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	at := r.random.IntN(len(text))
	text[at] ^= 1 << r.random.IntN(8)
	name, err := filepath.Rel(dir, path)
	return fmt.Sprintf("%s at %d of %d", name, at, len(text)), errors.Join(err, os.WriteFile(path, text, 0o600))
}

// data is a member's data directory.
func (b *bed) data(m *member) string {
	if m.disk != nil {
		return filepath.Join(m.disk.Dir, "data")
	}
	return filepath.Join(filepath.Dir(m.Config), "data")
}
