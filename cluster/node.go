package cluster

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"quorumta/cluster/atlas"
	"quorumta/cluster/council"
	"quorumta/cluster/desk"
	"quorumta/cluster/digest"
	"quorumta/cluster/disk"
	"quorumta/cluster/group"
	"quorumta/cluster/lead"
	"quorumta/cluster/papers"
	"quorumta/cluster/peers"
	"quorumta/cluster/store"
	"quorumta/cluster/wire"
)

// Node is one member of the cluster. Its methods are safe for concurrent use
// unless it is said.
type Node struct {
	o       Options
	papers  *papers.Papers
	boot    uint64
	store   *store.Store
	port    *wire.Port
	atlas   *atlas.Atlas
	desk    *desk.Desk[*replica]
	peers   *peers.Peers
	council *council.Council
	digests *digest.Comparer
	mover   *lead.Mover
	disk    *disk.Watch
	health  health
	parting
	hosted
}

// parting is how a node's process leaves off taking mail.
type parting struct {
	quieten func(context.Context) error // given by Depart
	serves  atomic.Bool                 // it has been given, and has not returned
}

// hosted is what the shards' entries are folded by.
type hosted struct {
	machine func(ShardID) Machine // given by Host
	ready   []group.Options       // what was opened before Host
	// machines are those that were made and not closed; Host's, and then the
	// keeper's.
	machines map[ShardID]Machine
}

// Open opens the node's stores and identity. Nothing runs before Run.
func Open(o Options) (*Node, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	n := &Node{o: o, desk: desk.New[*replica](), hosted: hosted{machines: map[ShardID]Machine{}}}
	n.peers = peers.New(n.ping, n.heard)
	n.mover = n.newMover()
	var boot [8]byte
	_, _ = rand.Read(boot[:])
	n.boot = binary.BigEndian.Uint64(boot[:]) | 1
	var err error
	n.papers, err = papers.Open(papers.Owner{
		FS: o.FS, Dir: o.Dir, Name: o.Name, Cluster: o.ClusterID, Incarnation: o.Incarnations[o.Name], Alone: o.alone(),
	})
	if err != nil {
		return nil, err
	}
	n.council = n.newCouncil()
	m, err := n.firstMap()
	if err != nil {
		return nil, err
	}
	if err := n.tooOld(m); err != nil {
		return nil, err
	}
	n.atlas = atlas.New(m)
	if n.digests, err = n.newComparer(); err != nil {
		return nil, err
	}
	if n.disk, err = n.newDiskWatch(); err != nil {
		return nil, err
	}
	n.port, err = wire.New(wire.Options{
		Self:    n.papers.RaftID(),
		Cluster: n.papers.Cluster(),
		Listen:  o.Listen,
		Members: o.Members,
		TLS:     o.TLS,
		Join:    o.Join,
		CA:      o.CA,
		Errors:  travelling,
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
	if err := n.openAll(); err != nil {
		return nil, errors.Join(err, n.store.Close())
	}
	return n, nil
}

// Host gives the node the maker of its shards' machines. It is called once,
// before Run; machine is called then for the shards that are here, and later,
// from another goroutine, for those that come. What a Machine can be beside:
// group.Skipper, group.Restorer, Emptier, Closer.
func (n *Node) Host(machine func(ShardID) Machine) {
	n.machine = machine
	for _, spec := range n.ready {
		s, _ := n.atlas.Now().Shard(spec.Shard)
		if err := n.host(spec, s.Sealed); err != nil {
			n.o.Log.Error("cannot open a replica", "shard", spec.Shard, "err", err)
		}
	}
	n.ready = nil
	n.handleOwn()
}

// Handle gives the node the handler of a method. It is called before Run.
func (n *Node) Handle(method string, h Handler) { n.port.Handle(method, h) }

// Run runs the node until ctx ends; when it returns nothing of it is running.
// It ends by itself with ErrRemoved when the node is no member any more.
func (n *Node) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// The port outlives the groups, which hand over and answer to the last.
	portCtx, closePort := context.WithCancel(context.WithoutCancel(ctx))
	defer closePort()
	n.health.hangUp.Store(&closePort)
	ended := make(chan error, 1)
	go func() {
		err := n.port.Run(portCtx)
		cancel()
		ended <- err
	}()
	n.desk.Start(ctx)
	var running sync.WaitGroup
	for _, loop := range []func(context.Context){n.keep, n.peers.Run, n.council.Run, n.reconcile, n.disk.Run, n.mover.Run, n.digests.Run} {
		running.Go(func() { loop(ctx) })
	}
	running.Wait()
	n.desk.Wait()
	closePort()
	return errors.Join(<-ended, n.health.ending())
}

// Close closes the stores. It is called after Run has returned.
func (n *Node) Close() error { return n.store.Close() }

// Name is the node's name.
func (n *Node) Name() string { return n.o.Name }

// Boot is drawn when the node is opened: it tells one run from the next.
func (n *Node) Boot() uint64 { return n.boot }

// ClusterID is the cluster's random id.
func (n *Node) ClusterID() string { return n.papers.Cluster() }

// group is the shard's replica here.
func (n *Node) group(shard ShardID) (*replica, error) {
	r, open := n.desk.Get(shard)
	if !open {
		return nil, fmt.Errorf("%w: %d", ErrNoSuchShard, shard)
	}
	return r, nil
}

// Leader is who leads the shard as far as this node knows; "" if nobody does.
// Without a replica that knows, it is who has said so lately.
func (n *Node) Leader(shard ShardID) string {
	r, open := n.desk.Get(shard)
	if open {
		if id := r.Leader(); id != "" {
			return nameOf(id)
		}
	}
	leader, at := n.peers.Leader(shard)
	if open && at.Term < r.Status().Term {
		return "" // it was said of a term that is over
	}
	return leader
}

// Term is the term of the office that this node holds and may act in: Lead was
// called and the lease runs. ok is false otherwise, and while the replicas of
// the shard are known to differ without a majority that is equal (PROTOCOL 23):
// what is proposed then is taken, but nothing may be delivered.
func (n *Node) Term(shard ShardID) (term uint64, ok bool) {
	g, err := n.group(shard)
	if err != nil || n.err() != nil || n.digests.Doubted(shard) {
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
	if s, ok := n.atlas.Now().Shard(shard); ok && s.Sealed != 0 {
		return nil, fmt.Errorf("%w: shard %d has retired", ErrNotLeader, shard)
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
