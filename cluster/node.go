package cluster

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"quorumta/cluster/group"
	"quorumta/cluster/store"
	"quorumta/cluster/wire"
)

// Node is one member of the cluster. Its methods are safe for concurrent use
// unless it is said.
type Node struct {
	o      Options
	id     identity
	boot   uint64
	store  *store.Store
	port   *wire.Port
	specs  []group.Options // of the shards, ascending
	groups []*group.Group
	peers  *peers
	alarms *alarms

	draining atomic.Bool
	slow     atomic.Bool
	failed   atomic.Pointer[error] // why the node stopped being trusted
	hangUp   atomic.Pointer[context.CancelFunc]
	moves    *moves
}

// Open opens the node's stores and identity. Nothing runs before Run.
func Open(o Options) (*Node, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	id, err := identify(&o)
	if err != nil {
		return nil, err
	}
	n := &Node{o: o, id: id, moves: newMoves()}
	var boot [8]byte
	_, _ = rand.Read(boot[:])
	n.boot = binary.BigEndian.Uint64(boot[:]) | 1
	n.peers = newPeers(n)
	if n.alarms, err = newAlarms(o.Meter); err != nil {
		return nil, err
	}
	n.port, err = wire.New(wire.Options{
		Self:    id.raftID(),
		Cluster: id.Cluster,
		Listen:  o.Listen,
		Members: o.Members,
		TLS:     o.TLS,
		Network: o.Network,
		Log:     o.Log,
		Meter:   o.Meter,
	})
	if err != nil {
		return nil, err
	}
	n.store, err = store.Open(store.Options{Dir: o.Dir, FS: o.FS, MemoryBytes: o.MemoryBytes, Log: o.Log, Fatal: n.fatal})
	if err != nil {
		return nil, err
	}
	if err := n.openShards(); err != nil {
		return nil, errors.Join(err, n.store.Close())
	}
	return n, nil
}

// openShards opens the stores of all shards. The first start writes their
// first configuration.
func (n *Node) openShards() error {
	for shard := ShardID(1); int(shard) <= n.id.Shards; shard++ {
		spec, err := n.openShard(shard)
		if err != nil {
			return fmt.Errorf("open shard %d: %w", shard, err)
		}
		n.specs = append(n.specs, spec)
	}
	if n.id.Founded {
		return nil
	}
	servers, err := founders(&n.o)
	if err != nil {
		return err
	}
	for _, spec := range n.specs {
		if err := group.Bootstrap(spec, servers); err != nil {
			return err
		}
	}
	n.id.Founded = true
	return n.id.write(&n.o)
}

func (n *Node) openShard(shard ShardID) (spec group.Options, err error) {
	spec = group.Options{
		Shard:         shard,
		Self:          raft.ServerID(n.id.raftID()),
		Flush:         n.store.FlushState,
		Failed:        n.err,
		Connect:       func(lost func(string)) raft.StreamLayer { return n.port.Open(shard, lost) },
		Peers:         n.peers,
		Heartbeat:     n.o.Heartbeat,
		TrailingBytes: n.o.TrailingBytes,
		SnapshotBytes: n.o.SnapshotBytes,
		Excused:       n.peers.mostAreSlow,
		Passive:       n.draining.Load,
		Log:           n.o.Log,
		Meter:         n.o.Meter,
	}
	if spec.Entries, err = n.store.Log(shard); err != nil {
		return spec, err
	}
	if spec.State, err = n.store.State(shard, n.id.Cluster); err != nil {
		return spec, err
	}
	if spec.Snapshots, err = n.store.Snapshots(shard, spec.State); err != nil {
		return spec, err
	}
	spec.Mark, err = n.store.Mark(shard)
	return spec, err
}

// Host gives the node the maker of its shards' machines. It is called once,
// before Run.
func (n *Node) Host(machine func(ShardID) Machine) {
	for _, spec := range n.specs {
		spec.Machine = machine(spec.Shard)
		g, err := group.New(spec)
		if err != nil {
			n.o.Log.Error("cannot make the shard's metrics", "shard", spec.Shard, "err", err)
			continue
		}
		n.groups = append(n.groups, g)
	}
	n.handleOwn()
}

// Handle gives the node the handler of a method. It is called before Run.
func (n *Node) Handle(method string, h Handler) { n.port.Handle(method, h) }

// Run runs the node until ctx ends; when it returns nothing of it is running.
func (n *Node) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// The port outlives the groups, which hand over and answer to the last.
	portCtx, closePort := context.WithCancel(context.WithoutCancel(ctx))
	defer closePort()
	n.hangUp.Store(&closePort)
	ended := make(chan error, 1)
	go func() {
		err := n.port.Run(portCtx)
		cancel()
		ended <- err
	}()
	var running sync.WaitGroup
	for _, g := range n.groups {
		running.Go(func() { g.Run(ctx) })
	}
	for _, loop := range []func(context.Context){n.peers.run, n.watchDisk, n.place, n.compareDigests} {
		running.Go(func() { loop(ctx) })
	}
	running.Wait()
	closePort()
	return <-ended
}

// Close closes the stores. It is called after Run has returned.
func (n *Node) Close() error { return n.store.Close() }

// Name is the node's name.
func (n *Node) Name() string { return n.o.Name }

// Boot is drawn when the node is opened: it tells one run from the next.
func (n *Node) Boot() uint64 { return n.boot }

// ClusterID is the cluster's random id.
func (n *Node) ClusterID() string { return n.id.Cluster }

// Shards are the shards of the cluster, ascending.
func (n *Node) Shards() []ShardID {
	var ids []ShardID
	for i := range n.id.Shards {
		ids = append(ids, ShardID(i+1))
	}
	return ids
}

// group is the shard's group here.
func (n *Node) group(shard ShardID) (*group.Group, error) {
	if shard == 0 || int(shard) > len(n.groups) {
		return nil, fmt.Errorf("%w: %d", ErrNoSuchShard, shard)
	}
	return n.groups[shard-1], nil
}

// Leader is who leads the shard as far as this node knows; "" if nobody does.
func (n *Node) Leader(shard ShardID) string {
	g, err := n.group(shard)
	if err != nil {
		return ""
	}
	return nameOf(g.Leader())
}

// Term is the term of the office that this node holds and may act in: Lead was
// called and the lease runs. ok is false otherwise.
func (n *Node) Term(shard ShardID) (term uint64, ok bool) {
	g, err := n.group(shard)
	if err != nil || n.err() != nil {
		return 0, false
	}
	return g.Term()
}

// Propose has the entry committed and applied and returns the machine's
// results. It fails with ErrNotLeader when this node does not hold the office
// of the term, and nothing was proposed; with ErrUnknownOutcome when it cannot
// tell; with ErrTooLarge beyond MaxEntry. It keeps no reference to data.
func (n *Node) Propose(ctx context.Context, shard ShardID, term uint64, data []byte) ([]Result, error) {
	g, err := n.group(shard)
	if err != nil {
		return nil, err
	}
	if err := n.err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotLeader, err)
	}
	ctx, span := n.o.Tracer.Start(ctx, "raft.commit", trace.WithAttributes(attribute.Int("shard", int(shard))))
	defer span.End()
	results, err := g.Propose(ctx, term, data)
	if err != nil {
		span.RecordError(err)
	}
	return results, err
}

// Barrier returns when this node, as the shard's leader, has applied every
// entry committed before the call. It fails as Propose does.
func (n *Node) Barrier(ctx context.Context, shard ShardID) error {
	g, err := n.group(shard)
	if err != nil {
		return err
	}
	return g.Barrier(ctx)
}

// View is a consistent view of this node's replica as it is now. The caller
// closes it soon: it pins memory and files.
func (n *Node) View(shard ShardID) (View, func(), error) {
	g, err := n.group(shard)
	if err != nil {
		return nil, nil, err
	}
	v := g.View()
	return v, v.Close, nil
}

// Call runs a method on another node, or on this one. An error that the
// handler returned comes back as *CallError; ErrUnreachable means that it may
// or may not have run.
func (n *Node) Call(ctx context.Context, node, method string, request []byte) ([]byte, error) {
	return n.port.Call(ctx, node, method, request)
}

// fatal says that the node's storage cannot be trusted any longer. Nothing is
// acknowledged afterwards, and the port closes: a process that cannot end
// would keep it open.
func (n *Node) fatal(err error) {
	if !n.failed.CompareAndSwap(nil, &err) {
		return
	}
	if hangUp := n.hangUp.Load(); hangUp != nil {
		(*hangUp)()
	}
	n.o.Fatal(err)
}

// err is why the node is not trusted any longer, or nil.
func (n *Node) err() error {
	if err := n.failed.Load(); err != nil {
		return fmt.Errorf("%w: %w", ErrStopped, *err)
	}
	return nil
}

// every calls f at once and then at the interval until ctx ends.
func every(ctx context.Context, interval time.Duration, f func(context.Context)) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		f(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
