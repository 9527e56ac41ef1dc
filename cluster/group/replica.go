package group

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"quorumta/cluster/group/fetch"
	"quorumta/cluster/group/futures"
	"quorumta/cluster/group/hlog"
	"quorumta/cluster/group/journal"
	"quorumta/cluster/transport"
)

const (
	// never is an interval for what we do ourselves.
	never = 100 * 365 * 24 * time.Hour
	// watchInterval is how often a replica looks after itself.
	watchInterval = 250 * time.Millisecond
)

// replica is one opening of a group.
type replica struct {
	g     *Group
	raft  *raft.Raft
	trans *transport.Transport
	agent *fetch.Agent // of snapshots
	lease *transport.Lease
	grace time.Time // until when no vote is given

	notify chan bool          // from Raft: leadership won, lost
	again  chan string        // why to reopen
	lost   chan raft.ServerID // a peer's connection broke
	office atomic.Uint64      // the term in which Lead was called; 0 for none
	moves  futures.Transfers
	follow atomic.Pointer[dead] // the fast takeover under way
	change change               // of the configuration, under way

	futures futures.Futures
	helpers sync.WaitGroup // our goroutines
}

// raftConfig is Raft's configuration.
func raftConfig(o Options) *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = o.Self
	c.HeartbeatTimeout = o.Heartbeat
	c.ElectionTimeout = o.Heartbeat
	c.LeaderLeaseTimeout = leaseOf(o.Heartbeat)
	c.MaxAppendEntries = 64
	c.BatchApplyCh = true
	c.ShutdownOnRemove = false
	c.NoLegacyTelemetry = true
	c.NoSnapshotRestoreOnStart = true // prepare has restored what must be
	c.SnapshotInterval = never
	c.SnapshotThreshold = 1 << 62
	c.Logger = hlog.New(o.Log.With("shard", o.Shard))
	return c
}

// leaseOf leaves a fifth of the heartbeat time-out for clocks.
func leaseOf(heartbeat time.Duration) time.Duration { return heartbeat * 4 / 5 }

// open opens the replica.
func (g *Group) open() (*replica, error) {
	blank, err := g.prepare()
	if err != nil {
		return nil, err
	}
	config := raftConfig(g.o)
	r := &replica{
		g:      g,
		again:  make(chan string, 1),
		lost:   make(chan raft.ServerID, 1),
		notify: make(chan bool, 1),
		grace:  time.Now().Add(config.HeartbeatTimeout),
		lease:  transport.NewLease(leaseOf(config.HeartbeatTimeout), g.o.Self),
	}
	config.NotifyCh = r.notify
	begin := func() error { return nil }
	if blank && g.o.Joined != nil {
		begin = sync.OnceValue(g.o.Joined)
	}
	stream := g.o.Connect(r.connectionLost)
	r.agent = fetch.NewAgent(fetch.Options{
		Shard: g.o.Shard, Snapshots: g.o.Snapshots, Stock: g.stock, Fetcher: g.fetcher, Begin: begin,
		Leads: r.leads, Member: r.member, Outdated: g.outdated, Log: g.o.Log,
	}, stream)
	var started atomic.Pointer[raft.Raft] // requests may come before Raft is there
	r.trans = transport.New(transport.Options{
		Stream: stream,
		Lease:  r.lease,
		Term: func() uint64 {
			if now := started.Load(); now != nil {
				return now.CurrentTerm()
			}
			return 0
		},
		Silent:  g.silent,
		Passive: g.o.Passive,
		Modesty: 3 * r.g.o.Heartbeat,
		Grace:   r.grace,
		Blank:   g.blank,
		Member:  r.member,
		Holds:   g.has,
		Send:    r.agent.Send,
		Log:     config.Logger,
	})
	log := journal.Journal{Log: g.o.Entries, Mark: g.o.Mark, Snaps: g.o.Snapshots, Begin: begin, Installed: func() {
		r.askReopen("a snapshot was installed over a longer log")
	}}
	if r.raft, err = raft.NewRaft(config, g.fsm, log, g.o.Entries, r.agent.Store(), r.trans); err != nil {
		r.agent.Close()
		_ = r.trans.Close()
		return nil, fmt.Errorf("start Raft: %w", err)
	}
	started.Store(r.raft)
	r.serve(stream)
	r.hurry()
	return r, nil
}

// hurry has a replica that is the only voter take the lead at once: it need
// not wait for anybody. Shortened time-outs make Raft look at its timers.
func (r *replica) hurry() {
	if votes := r.voters(); len(votes) == 1 && votes[0] == r.g.o.Self && r.raft.State() == raft.Follower {
		r.setTimeouts(r.g.o.Heartbeat + time.Millisecond)
		r.setTimeouts(r.g.o.Heartbeat)
	}
}

// connectionLost is called by the stream layer and does not block.
func (r *replica) connectionLost(peer string) {
	select {
	case r.lost <- raft.ServerID(peer):
	default: // one is enough: they come in threes
	}
}

// askReopen has the replica closed and opened again.
func (r *replica) askReopen(why string) {
	select {
	case r.again <- why:
	default:
	}
}

// run serves until ctx ends, which is nil, or until the replica must be closed
// for another reason.
func (r *replica) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r.helpers.Go(func() { r.keepOffice(ctx) })
	r.helpers.Go(func() { r.watchDisk(ctx) })
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	size := r.g.o.Entries.Size()
	for {
		select {
		case <-ctx.Done():
			return nil
		case why := <-r.again:
			return &reopenError{why}
		case err := <-r.g.fsm.Broken():
			return err
		case <-r.g.halted:
			return r.g.halt
		case peer := <-r.lost:
			r.suspect(ctx, peer)
		case <-tick.C:
			r.watch()
			if now := r.g.o.Entries.Size(); now-size >= r.g.o.SnapshotBytes {
				size = now
				r.helpers.Go(r.snapshot)
			}
		}
	}
}

// watch looks after what nobody tells.
func (r *replica) watch() {
	r.endTakeover()
	r.hurry()
	r.g.metrics.observe(r)
}

// snapshot makes the state durable and cuts the log to the trailing bytes.
func (r *replica) snapshot() {
	if !r.futures.Begin() {
		return
	}
	defer r.futures.Done()
	r.reload(func(c *raft.ReloadableConfig) {
		c.TrailingLogs = max(r.g.o.Entries.EntriesWithin(r.g.o.TrailingBytes), r.agent.Trailing(r.raft.LastIndex()), 1)
	})
	err := r.raft.Snapshot().Error()
	if err != nil && !errors.Is(err, raft.ErrNothingNewToSnapshot) && !errors.Is(err, raft.ErrRaftShutdown) {
		r.g.o.Log.Warn("cannot take a snapshot", "shard", r.g.o.Shard, "err", err)
	}
}

// reload changes what can be changed of Raft's configuration.
func (r *replica) reload(change func(*raft.ReloadableConfig)) {
	r.g.reloads.Lock()
	defer r.g.reloads.Unlock()
	c := r.raft.ReloadableConfig()
	change(&c)
	if err := r.raft.ReloadConfig(c); err != nil {
		r.g.o.Log.Error("cannot change Raft's configuration", "shard", r.g.o.Shard, "err", err)
	}
}

// close stops Raft, and returns when nothing of the replica is running. run has
// returned.
func (r *replica) close() {
	stopped := make(chan struct{})
	defer close(stopped)
	go func() { // or the main loop would wait for a reader
		for {
			select {
			case <-r.notify:
			case <-stopped:
				return
			}
		}
	}()
	r.helpers.Wait()
	r.agent.Close()
	applied, _ := r.g.o.State.Applied()
	label, _ := r.g.o.Snapshots.Label()
	if applied > label && !r.g.fsm.Failed() && r.g.o.Failed() == nil {
		r.snapshot() // the next start has less to replay
	}
	r.futures.Close()
	// Without connections a leader steps down, and what it has in flight is
	// answered.
	_ = r.trans.Close()
	r.futures.Wait()
	if err := r.raft.Shutdown().Error(); err != nil {
		r.g.o.Log.Error("cannot stop Raft", "shard", r.g.o.Shard, "err", err)
	}
}
