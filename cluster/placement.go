package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"quorumta/cluster/group"
)

const (
	placeInterval = time.Second
	// restFor is how long a shard's lead stays where it was put (PROTOCOL 29).
	restFor = time.Minute
	// settled is how long a member must have been answering to be given a lead.
	settled = 2 * time.Second
	// closeEnough is how many entries a voter may be behind to be given one.
	closeEnough = 1024

	transferTimeout = 10 * time.Second
	methodTransfer  = "cluster.transfer"
	// noticeTimeout bounds telling a node that a lead is on its way.
	noticeTimeout = 300 * time.Millisecond
	methodNotice  = "cluster.notice"
)

// moves remembers when leads were moved away.
type moves struct {
	mu       sync.Mutex // guards the rest; not held during a move
	last     map[ShardID]time.Time
	underWay map[ShardID]bool
}

func newMoves() *moves {
	return &moves{last: map[ShardID]time.Time{}, underWay: map[ShardID]bool{}}
}

// begin reports whether the shard's lead is not being moved already.
func (m *moves) begin(shard ShardID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.underWay[shard] {
		return false
	}
	m.underWay[shard], m.last[shard] = true, time.Now()
	return true
}

// note notes that another node moves the shard's lead here.
func (m *moves) note(shard ShardID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last[shard] = time.Now()
}

func (m *moves) end(shard ShardID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.underWay, shard)
}

// lately reports whether the shard's lead was moved within the duration.
func (m *moves) lately(shard ShardID, d time.Duration) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	last, moved := m.last[shard]
	return moved && time.Since(last) < d
}

// place keeps leads where the map has them, evenly spread, until ctx ends. The
// control group's stays where it is.
func (n *Node) place(ctx context.Context) {
	every(ctx, placeInterval, func(ctx context.Context) {
		for _, r := range n.desk.all() {
			s := r.Status()
			if !s.Leads || (n.moves.lately(r.shard, restFor) && !n.draining.Load()) {
				continue
			}
			to := n.atlas.get().leads[r.shard]
			if n.draining.Load() {
				to = n.refuge(r.shard, s)
			}
			if to == "" || to == n.o.Name || !n.fit(to, r.shard, s) {
				continue
			}
			if err := n.move(ctx, r.shard, to); err != nil && ctx.Err() == nil {
				n.o.Log.Info("the lead was not moved", "shard", r.shard, "to", to, "err", err)
			}
		}
	})
}

// fit reports whether the member may be given the shard's lead.
func (n *Node) fit(name string, shard ShardID, s group.Status) bool {
	o, alive := n.peers.Get(name)
	at := o.Report.Shards[shard]
	return alive && time.Since(o.Since) >= settled &&
		!o.Report.Draining && !o.Report.Slow && !at.Stopped &&
		at.Applied+closeEnough >= s.Commit && n.voter(s, name) != ""
}

// voter is the Raft id of the shard's voter that the member is, or "".
func (n *Node) voter(s group.Status, name string) raft.ServerID {
	incarnation := n.papers.Incarnation()
	if name != n.o.Name {
		o, _ := n.peers.Get(name)
		incarnation = o.Report.Incarnation
	}
	if id := raft.ServerID(name + "/" + incarnation); slices.Contains(s.Voters, id) {
		return id
	}
	return ""
}

// refuge is the fit member with the fewest leads, or "".
func (n *Node) refuge(shard ShardID, s group.Status) string {
	best, fewest := "", 0
	for _, name := range n.peers.Names() {
		if !n.fit(name, shard, s) {
			continue
		}
		o, _ := n.peers.Get(name)
		if leads := len(o.Report.Leads()); best == "" || leads < fewest {
			best, fewest = name, leads
		}
	}
	return best
}

// move hands the lead of a shard that this node leads to another.
func (n *Node) move(ctx context.Context, shard ShardID, to string) error {
	g, err := n.group(shard)
	if err != nil {
		return err
	}
	id := n.voter(g.Status(), to)
	if id == "" {
		return fmt.Errorf("%s is no voter of shard %d", to, shard)
	}
	if !n.moves.begin(shard) {
		return fmt.Errorf("the lead of shard %d is being moved already", shard)
	}
	defer n.moves.end(shard)
	ctx, cancel := context.WithTimeout(ctx, transferTimeout)
	defer cancel()
	n.announce(ctx, shard, to)
	if err := g.Transfer(ctx, id); err != nil {
		return err
	}
	n.o.Log.Info("the lead was moved", "shard", shard, "to", to)
	return nil
}

// announce tells the node that a lead is on its way, so that it keeps it for a
// while. If it does not hear, the lead may move once more.
func (n *Node) announce(ctx context.Context, shard ShardID, to string) {
	ctx, cancel := context.WithTimeout(ctx, noticeTimeout)
	defer cancel()
	if err := n.ask(ctx, to, methodNotice, shard, &struct{}{}); err != nil {
		n.o.Log.Info("a lead is moved unannounced", "shard", shard, "to", to, "err", err)
	}
}

// transferRequest asks a leader to hand its lead over.
type transferRequest struct {
	Shard ShardID `json:"shard"`
	To    string  `json:"to"`
}

// Transfer hands the shard's lead to the node, which must be a caught-up
// voter. It can be called on any member.
func (n *Node) Transfer(ctx context.Context, shard ShardID, to string) error {
	leader := n.Leader(shard)
	switch {
	case leader == "":
		return fmt.Errorf("shard %d: %w: it has no leader", shard, ErrNotLeader)
	case leader == to:
		return nil
	}
	return n.ask(ctx, leader, methodTransfer, transferRequest{shard, to}, &struct{}{})
}

// transferHere is Transfer on the leader.
func (n *Node) transferHere(ctx context.Context, r transferRequest) (struct{}, error) {
	g, err := n.group(r.Shard)
	if err != nil {
		return struct{}{}, err
	}
	if r.To == n.o.Name {
		return struct{}{}, nil
	}
	if !n.fit(r.To, r.Shard, g.Status()) {
		return struct{}{}, fmt.Errorf("%s is not fit to lead shard %d: it must be alive for %s, caught up, and not draining", r.To, r.Shard, settled)
	}
	return struct{}{}, n.move(ctx, r.Shard, r.To)
}

// Drain hands every lead away and takes none until the process ends. It
// returns when this node leads nothing, with ctx, or at once when there is
// nobody to hand anything to: all others are down or draining as well.
func (n *Node) Drain(ctx context.Context) error {
	n.draining.Store(true)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		left, err := n.drainOnce(ctx)
		if left == 0 || !n.peers.SomeTake() {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("drain: %d shards are still led here: %w", left, errors.Join(err, ctx.Err()))
		}
	}
}

// drainOnce tries to hand away what this node leads, the control group too.
func (n *Node) drainOnce(ctx context.Context) (left int, err error) {
	for _, r := range n.desk.all() {
		s := r.Status()
		if !s.Leads {
			continue
		}
		left++
		to := n.refuge(r.shard, s)
		if to == "" {
			err = errors.New("no other member is fit to lead")
			continue
		}
		err = n.move(ctx, r.shard, to)
	}
	return left, err
}
