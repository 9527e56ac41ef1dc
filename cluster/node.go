package cluster

import (
	"context"
	"fmt"
	"sync"
)

// Node is one member of the cluster.
//
// THIS FILE IS A STAND-IN: one node, in memory, every proposal applied at
// once. It lets the rooms above be built; the real node replaces it behind the
// same methods.
type Node struct {
	o      Options
	mu     sync.Mutex
	shards map[ShardID]*memShard
	calls  map[string]Handler
}

// Handler answers a call from another node. from is the caller's name as its
// certificate says.
type Handler func(ctx context.Context, from string, request []byte) ([]byte, error)

// Open opens the node's stores and identity. Nothing runs before Run.
func Open(o Options) (*Node, error) {
	return &Node{o: o, shards: map[ShardID]*memShard{}, calls: map[string]Handler{}}, nil
}

// Host gives the node the maker of its shards' machines. It is called once,
// before Run.
func (n *Node) Host(machine func(ShardID) Machine) {
	count := max(n.o.Shards, 1)
	for i := 1; i <= count; i++ {
		id := ShardID(i)
		n.shards[id] = &memShard{machine: machine(id), data: map[string][]byte{}}
	}
}

// Handle gives the node the handler of a method. It is called before Run.
func (n *Node) Handle(method string, h Handler) { n.calls[method] = h }

// Run runs the node until ctx ends; when it returns nothing of it is running.
func (n *Node) Run(ctx context.Context) error {
	for _, s := range n.shards {
		s.machine.Lead(1)
	}
	<-ctx.Done()
	for _, s := range n.shards {
		s.machine.Unlead()
	}
	return nil
}

// Close closes the stores. It is called after Run has returned.
func (n *Node) Close() error { return nil }

// Name is the node's name.
func (n *Node) Name() string { return n.o.Name }

// Boot is drawn when the node is opened: it tells one run from the next.
func (n *Node) Boot() uint64 { return 1 }

// Shards are the shards of the cluster, ascending.
func (n *Node) Shards() []ShardID {
	var ids []ShardID
	for i := range len(n.shards) {
		ids = append(ids, ShardID(i+1))
	}
	return ids
}

// Leader is who leads the shard as far as this node knows; "" if nobody does.
func (n *Node) Leader(ShardID) string { return n.o.Name }

// Term is the term of the office that this node holds and may act in: Lead was
// called and the lease runs. ok is false otherwise.
func (n *Node) Term(ShardID) (term uint64, ok bool) { return 1, true }

// Accepting reports whether new messages may be proposed to the shard: it has
// a leader in reach, and every live replica is above its floor of free disk.
// The error is ErrNotLeader or ErrDiskFull.
func (n *Node) Accepting(ShardID) error { return nil }

// Propose has the entry committed and applied and returns the machine's
// results. It fails with ErrNotLeader when this node does not hold the office
// of the term, and nothing was proposed; with ErrUnknownOutcome when it cannot
// tell. It keeps no reference to data.
func (n *Node) Propose(ctx context.Context, shard ShardID, term uint64, data []byte) ([]Result, error) {
	s := n.shards[shard]
	if s == nil {
		return nil, ErrNoSuchShard
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.index++
	return s.machine.Apply(s, s, Entry{Index: s.index, Term: 1, Data: data}), nil
}

// Barrier returns when this node, as the shard's leader, has applied every
// entry committed before the call. It fails as Propose does.
func (n *Node) Barrier(ctx context.Context, shard ShardID) error { return nil }

// View is a consistent view of this node's replica as it is now. The caller
// closes it soon: it pins memory and files.
func (n *Node) View(shard ShardID) (View, func(), error) {
	s := n.shards[shard]
	if s == nil {
		return nil, nil, ErrNoSuchShard
	}
	return s.snapshot(), func() {}, nil
}

// Call runs a method on another node, or on this one. An error that the
// handler returned comes back as *CallError; ErrUnreachable means that it may
// or may not have run.
func (n *Node) Call(ctx context.Context, node, method string, request []byte) ([]byte, error) {
	h := n.calls[method]
	if h == nil {
		return nil, fmt.Errorf("call %s: no such method", method)
	}
	answer, err := h(ctx, n.o.Name, request)
	if err != nil {
		return nil, &CallError{Text: err.Error()}
	}
	return answer, nil
}

// CallError is an error that a handler on another node returned.
type CallError struct {
	Text string
}

// Error implements error.
func (e *CallError) Error() string { return e.Text }

// Nodes are the members as this node knows them, by name.
func (n *Node) Nodes() []NodeStatus { return nil }

// Status is the state of every shard as this node knows it, ascending.
func (n *Node) Status() []ShardStatus { return nil }

// Digest compares the replicas of every shard.
func (n *Node) Digest(ctx context.Context, deep bool) ([]ShardDigest, error) { return nil, nil }

// Transfer hands the shard's lead to the node, which must be a caught-up voter.
func (n *Node) Transfer(ctx context.Context, shard ShardID, to string) error { return nil }

// Drain hands every lead away and takes none until the process ends.
func (n *Node) Drain(ctx context.Context) error { return nil }
