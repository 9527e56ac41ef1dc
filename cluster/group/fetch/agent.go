package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"quorumta/cluster/group/futures"
	"quorumta/cluster/transport"
	"quorumta/cluster/wire"
)

const (
	// firstPoll is after what time a follower is asked how much it has fetched,
	// sendPoll how often in the end, sendTimeout how long it may take to say so.
	firstPoll   = 20 * time.Millisecond
	sendPoll    = 500 * time.Millisecond
	sendTimeout = 5 * time.Second
	// sentLife is for how long after it was last asked the log that a fetched
	// snapshot needs is kept; sentSlack is what may be appended while it is cut.
	sentLife  = 5 * time.Minute
	sentSlack = 1 << 16
)

// Caller is a stream layer over which replicas ask each other beside Raft.
type Caller interface {
	Call(ctx context.Context, peer string, request []byte) ([]byte, error)
	Serve(wire.Handler)
}

var _ Caller = (*wire.Layer)(nil)

// Snapshots is a shard's snapshot store.
type Snapshots interface {
	raft.SnapshotStore
	// HasData reports whether the named one was received, and its data are here.
	HasData(id string) bool
}

// Options says what an agent works for; every field is needed.
type Options struct {
	Shard     uint16
	Snapshots Snapshots
	Stock     Stock
	Fetcher   *Fetcher // what is fetched from others
	// Begin is called before a snapshot is kept.
	Begin func() error
	// Leads reports whether this replica leads in the term.
	Leads func(term uint64) bool
	// Member reports whether the peer is in the shard's newest configuration.
	Member func(peer raft.ServerID) bool
	// Outdated reports whether the replica has more than a snapshot with that
	// label, which must not be installed then.
	Outdated func(index, term uint64) bool
	Log      *slog.Logger
}

// Agent moves the snapshots of one opening of a replica.
type Agent struct {
	o        Options
	layer    Caller          // nil: replicas cannot ask each other
	ctx      context.Context // ends with Close
	end      context.CancelFunc
	fetching futures.Futures

	// The log behind a snapshot that is being fetched must stay until the
	// follower has it, or it would need another one at once.
	mu    sync.Mutex // guards the rest
	index uint64     // its label
	until time.Time
}

// NewAgent makes the agent of a replica whose stream layer is stream; Answer is
// given what comes over it. It ends with Close.
func NewAgent(o Options, stream raft.StreamLayer) *Agent {
	a := &Agent{o: o}
	a.ctx, a.end = context.WithCancel(context.Background())
	if layer, ok := stream.(Caller); ok {
		a.layer = layer
	}
	return a
}

// Answer answers what another replica asks; from is its Raft id.
func (a *Agent) Answer(from string, request []byte) ([]byte, error) {
	back := func(ctx context.Context, request []byte) ([]byte, error) { return a.Call(ctx, from, request) }
	return a.o.Fetcher.serve(request, back, a.start)
}

// Call asks another replica of the shard. It fails with wire.ErrNoMethod where
// replicas cannot ask each other.
func (a *Agent) Call(ctx context.Context, peer string, request []byte) ([]byte, error) {
	if a.layer == nil {
		return nil, wire.ErrNoMethod
	}
	return a.layer.Call(ctx, peer, request)
}

// Close ends what the agent is doing.
func (a *Agent) Close() {
	a.end()
	a.fetching.Close()
	a.fetching.Wait()
}

// Store is the snapshot store as Raft sees it.
func (a *Agent) Store() raft.SnapshotStore { return snapshots{a.o.Snapshots, a} }

// start runs f until the agent closes.
func (a *Agent) start(f func(context.Context)) bool {
	if !a.fetching.Begin() {
		return false
	}
	go func() {
		defer a.fetching.Done()
		f(a.ctx)
	}()
	return true
}

// Send has the follower fetch a snapshot before Raft's own request goes out,
// and returns what that carries; args gets its length. A follower that cannot
// fetch gets the whole.
func (a *Agent) Send(peer raft.ServerID, args *raft.InstallSnapshotRequest, data io.Reader) (io.Reader, error) {
	p, ok := data.(*parcel)
	if !ok {
		return data, nil
	}
	err := a.deliver(peer, args, p.manifest)
	if err == nil {
		return standIn{bytes.NewReader(p.manifest), p.size}, nil
	}
	if !errors.Is(err, wire.ErrNoMethod) {
		return nil, fmt.Errorf("have %s fetch the snapshot: %w", peer, err)
	}
	meta, whole, err := snapshots{a.o.Snapshots, a}.whole(p.id)
	if err != nil {
		return nil, err
	}
	args.Size = meta.Size
	return whole, nil
}

// standIn is a manifest, which is sent in place of what the follower has fetched.
type standIn struct {
	*bytes.Reader
	size int64
}

var _ transport.Standing = standIn{}

// StandsFor implements transport.Standing.
func (s standIn) StandsFor() int64 { return s.size }

// deliver returns when the follower has fetched everything.
func (a *Agent) deliver(peer raft.ServerID, args *raft.InstallSnapshotRequest, manifest []byte) error {
	call := func(ctx context.Context, request []byte) ([]byte, error) {
		ctx, cancel := context.WithTimeout(ctx, sendTimeout)
		defer cancel()
		return a.Call(ctx, string(peer), request)
	}
	for pause := firstPoll; ; pause = min(2*pause, sendPoll) {
		a.keep(args.LastLogIndex)
		at, err := ask(a.ctx, call, manifest)
		switch {
		case err != nil:
			return err
		case at.Error != "":
			return errors.New(at.Error)
		case at.Done:
			a.o.Log.Info("the snapshot has been fetched", "shard", a.o.Shard, "by", peer, "chunks", at.Have)
			return nil
		case pause == firstPoll:
			a.o.Log.Info("a follower fetches a snapshot", "shard", a.o.Shard, "follower", peer)
		}
		select {
		case <-time.After(pause):
		case <-a.ctx.Done():
			return a.ctx.Err()
		}
		switch {
		case !a.o.Leads(args.Term):
			return errors.New("this node leads no longer")
		case !a.o.Member(peer):
			return fmt.Errorf("%s is no member any more", peer)
		}
	}
}

// keep keeps the log behind the index for a while.
func (a *Agent) keep(index uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	if now.After(a.until) || index < a.index {
		a.index = index
	}
	a.until = now.Add(sentLife)
}

// Trailing is how many entries must stay in a log that ends at last, for those
// that are being sent a snapshot.
func (a *Agent) Trailing(last uint64) uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if time.Now().After(a.until) || last < a.index {
		return 0
	}
	return last - a.index + sentSlack
}
