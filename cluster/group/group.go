package group

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	"go.opentelemetry.io/otel/metric"
	"golang.org/x/sync/semaphore"

	"quorumta/cluster/group/fetch"
	"quorumta/cluster/group/fold"
	"quorumta/cluster/group/stock"
	"quorumta/cluster/store"
)

const (
	// MaxEntry is the longest entry that can be proposed, bytes.
	MaxEntry = 1 << 20
	// largeEntry is from what length on an entry is paced; largeInFlight is
	// how many bytes of such entries are in flight (PROTOCOL 12).
	largeEntry    = 64 << 10
	largeInFlight = 4 << 20
	// reopenPause keeps a replica that cannot live from reopening all day.
	reopenPause = 100 * time.Millisecond
)

// Options says what a group is; every field is needed unless it is said.
type Options struct {
	Shard uint16
	// Self is this replica's Raft id, name/incarnation.
	Self raft.ServerID
	// Entries, State, Snapshots and Mark are the shard's stores; Flush makes
	// the state durable, and Failed is why the store failed, or nil.
	Entries   *store.Log
	State     *store.State
	Snapshots *store.Snapshots
	Mark      *store.Mark
	Flush     func() error
	Failed    func() error
	Machine   Machine
	// Joining reports that an empty replica is legal: the cluster has given
	// the shard to this node, which has never had anything of it. Nil: never.
	Joining func() bool
	// Joined is called before such a replica stores its first entry or
	// snapshot. What it notes must be durable when it returns: from then on an
	// empty log is a lost one. Nil: Joining's side has noted it already.
	Joined func() error
	// Connect opens the stream layer of one opening of the group; lost is
	// called when a peer's connection to us breaks, and does not block.
	Connect func(lost func(peer string)) raft.StreamLayer
	Peers   Peers
	// Heartbeat is Raft's heartbeat and election time-out.
	Heartbeat time.Duration
	// TrailingBytes is how much log stays behind a snapshot; a snapshot is
	// taken whenever the log has grown by SnapshotBytes.
	TrailingBytes int64
	SnapshotBytes int64
	// Excused reports that a majority of the nodes has slow disks, so that
	// falling silent would help nobody; Passive that this node drains.
	Excused func() bool
	Passive func() bool
	// Skip reports that the cluster has decided to skip the entry (PROTOCOL 22):
	// it is given to the machine's Skipper instead of Apply. It must be the same
	// on every replica. Nil: none.
	Skip func(index uint64) bool
	// Poison keeps an entry whose fold has panicked where an operator can look
	// at it, and says where that is (KeepPoison). Nil: it is not kept.
	Poison func(shard uint16, index uint64, data []byte) (place string, err error)
	Log    *slog.Logger
	Meter  metric.Meter
}

// Peers reaches the other replicas beside Raft.
type Peers interface {
	// Refused reports whether the peer's machine answers and its process is
	// gone: a connection was refused.
	Refused(ctx context.Context, peer raft.ServerID) bool
	// Standing asks the peer what it makes of a leader that seems dead.
	Standing(ctx context.Context, peer raft.ServerID, shard uint16, dead raft.ServerID) (Standing, error)
}

// Group is one shard on this node. Its methods are safe for concurrent use.
type Group struct {
	o       Options
	fsm     *fold.FSM
	metrics *instruments
	pace    *semaphore.Weighted
	stock   stock.Stock    // what others fetch here
	fetcher *fetch.Fetcher // what is fetched from them
	reloads sync.Mutex     // held while Raft's configuration is read and changed

	mu      sync.Mutex    // guards the rest
	current *replica      // nil while closed
	stopped error         // why it will not open again
	wake    chan struct{} // ends the rest of a stopped replica
	halted  chan struct{} // closed by Stop,
	halt    error         // and why
}

// New makes a group; nothing runs before Run.
func New(o Options) (*Group, error) {
	m, err := newInstruments(o.Meter, o.Shard)
	if err != nil {
		return nil, err
	}
	g := &Group{
		o:       o,
		metrics: m,
		pace:    semaphore.NewWeighted(largeInFlight),
		stock:   stock.New(o.Shard, o.State, o.Snapshots),
		wake:    make(chan struct{}, 1),
		halted:  make(chan struct{}),
	}
	g.fetcher = fetch.New(g.stock)
	g.fsm = fold.New(fold.Options{
		Shard:     o.Shard,
		Machine:   o.Machine,
		State:     o.State,
		Snapshots: o.Snapshots,
		Flush:     o.Flush,
		Skip:      o.Skip,
		Poison:    o.Poison,
		Applied:   m.applied,
		Skipped:   m.skipped,
		Log:       o.Log,
	})
	return g, nil
}

// Run keeps a replica open until ctx ends; when it returns nothing of the
// group is running. A replica that cannot go on stops alone, until Resume:
// Status says why.
func (g *Group) Run(ctx context.Context) {
	defer g.fsm.Marks.Clear()
	defer g.stock.Close()
	for ctx.Err() == nil {
		again := g.serve(ctx)
		if again == nil {
			continue
		}
		var reopen *reopenError
		if !errors.As(again, &reopen) {
			g.rest(ctx, again)
			continue
		}
		g.o.Log.Warn("the shard's replica is reopened", "shard", g.o.Shard, "reason", reopen.why)
		g.metrics.reopened()
		select {
		case <-time.After(reopenPause):
		case <-ctx.Done():
		}
	}
}

// reopenError says that a replica must be opened anew.
type reopenError struct{ why string }

// Error implements error.
func (e *reopenError) Error() string { return e.why }

// serve opens a replica, runs it and closes it. It returns nil when ctx ended.
func (g *Group) serve(ctx context.Context) error {
	if g.final() {
		return g.halt
	}
	r, err := g.open()
	if err != nil {
		return fmt.Errorf("open shard %d: %w", g.o.Shard, err)
	}
	g.mu.Lock()
	g.current = r
	g.mu.Unlock()
	err = r.run(ctx)
	g.mu.Lock()
	g.current = nil
	g.mu.Unlock()
	r.close()
	return err
}

// replica is the one that is open; the error is ErrStopped, or ErrNotLeader
// while the group is being reopened.
func (g *Group) replica() (*replica, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.stopped != nil:
		return nil, fmt.Errorf("%w: %w", ErrStopped, g.stopped)
	case g.current == nil:
		return nil, fmt.Errorf("%w: the replica is not open", ErrNotLeader)
	}
	return g.current, nil
}

// Reopen closes the replica and opens it again.
func (g *Group) Reopen(why string) {
	if r, err := g.replica(); err == nil {
		r.askReopen(why)
	}
}

// View is a consistent view of the replica's state, which the caller closes
// soon.
func (g *Group) View() *store.View { return g.o.State.View() }

// DiskAge is how long the oldest write or apply under way has been waiting.
func (g *Group) DiskAge() time.Duration {
	return max(time.Duration(g.o.Entries.Oldest()), time.Duration(g.o.State.Oldest()), g.fsm.Age())
}

// silent reports whether this replica must fall silent as a leader, so that
// others elect (PROTOCOL 30).
func (g *Group) silent() bool { return g.DiskAge() > SlowDisk && !g.o.Excused() }

// SlowDisk is from what age of a write on a disk is slow.
const SlowDisk = time.Second
