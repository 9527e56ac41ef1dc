// Package lead moves the leads of shards: to where the map has them, away from
// a node that drains, and where an operator or a change of the configuration
// wants them. A lead goes only to a voter that is fit for it, and is not moved
// again for a while.
package lead

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"quorumta/cluster/peers"
)

const (
	interval = time.Second
	// restFor is how long a shard's lead stays where it was put (PROTOCOL 29). A
	// takeover and a drain do not put it: where they left it nobody wanted it.
	restFor = time.Minute
	// settled is how long a member must have been answering to be given a lead.
	settled = 2 * time.Second
	// closeEnough is how many entries a voter may be behind to be given one.
	closeEnough = 1024

	transferTimeout = 10 * time.Second
	// noticeTimeout bounds telling a node that a lead is on its way.
	noticeTimeout = 300 * time.Millisecond
	// leavers count as having so many leads more than they have.
	leavers       = 1 << 16
	drainInterval = 50 * time.Millisecond
)

// The calls between the nodes. A name and its JSON may change only with the
// version of the cluster.
const (
	MethodTransfer = "cluster.transfer"
	MethodNotice   = "cluster.notice"
)

// Options reach the shards and the other nodes; every field is needed.
type Options struct {
	Self  string // the node's name
	Peers *peers.Peers
	// Groups are the groups here; Group is one of them.
	Groups func() []Group
	Group  func(shard uint16) (Group, error)
	// Preferred is who should lead the shard, "" where nobody in particular;
	// Leaving reports that the member is to leave the cluster.
	Preferred func(shard uint16) string
	Leaving   func(name string) bool
	// Transfer hands the lead of a shard to the voter of that Raft id.
	Transfer func(ctx context.Context, shard uint16, id string) error
	// Ask calls a method of another node.
	Ask func(ctx context.Context, node, method string, request, answer any) error
	Log *slog.Logger
}

// Group is what is to be known of a group to move its lead.
type Group struct {
	Shard  uint16
	Leads  bool // this node holds the office
	Commit uint64
	Voters []string // Raft ids
}

// Request asks a leader to hand its lead over.
type Request struct {
	Shard uint16 `json:"shard"`
	To    string `json:"to"`
}

// Mover moves leads. Its methods are safe for concurrent use.
type Mover struct {
	o        Options
	moves    *moves
	draining atomic.Bool
}

// New makes a mover.
func New(o Options) *Mover { return &Mover{o: o, moves: newMoves()} }

// Run keeps leads where they should be, until ctx ends.
func (m *Mover) Run(ctx context.Context) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		for _, g := range m.o.Groups() {
			if g.Leads && (m.Draining() || !m.moves.lately(g.Shard, restFor)) {
				m.place(ctx, g)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// place moves the lead of a shard that is led here, where it should.
func (m *Mover) place(ctx context.Context, g Group) {
	to := m.o.Preferred(g.Shard)
	if m.Draining() {
		to = m.refuge(g)
	}
	if to == "" || to == m.o.Self || !m.fit(to, g) {
		return
	}
	move := m.Move
	if m.Draining() {
		move = m.flee
	}
	if err := move(ctx, g.Shard, to); err != nil && ctx.Err() == nil {
		m.o.Log.Info("the lead was not moved", "shard", g.Shard, "to", to, "err", err)
	}
}

// fit reports whether the member may be given the shard's lead.
func (m *Mover) fit(name string, g Group) bool {
	o, alive := m.o.Peers.Get(name)
	at := o.Report.Shards[g.Shard]
	return alive && time.Since(o.Since) >= settled &&
		!o.Report.Draining && !o.Report.Slow && !at.Stopped &&
		at.Applied+closeEnough >= g.Commit && m.voter(g, name) != ""
}

// voter is the Raft id of the shard's voter that the member is, or "".
func (m *Mover) voter(g Group, name string) string {
	o, _ := m.o.Peers.Get(name)
	if id := name + "/" + o.Report.Incarnation; slices.Contains(g.Voters, id) {
		return id
	}
	return ""
}

// refuge is the member that a lead goes to which cannot stay here, or "": of
// those that are fit the one that should have it, or that with the fewest leads.
// One that leaves the cluster is the last choice: the lead would soon move again.
func (m *Mover) refuge(g Group) string {
	best, fewest := "", 0
	for _, name := range m.o.Peers.Names() {
		if !m.fit(name, g) {
			continue
		}
		o, _ := m.o.Peers.Get(name)
		leads := m.moves.with(name, o.Report.Leads())
		switch {
		case m.o.Leaving(name):
			leads += leavers
		case name == m.o.Preferred(g.Shard):
			leads = -1
		}
		if best == "" || leads < fewest {
			best, fewest = name, leads
		}
	}
	return best
}

// Move hands the lead of a shard that this node leads to another, where it stays
// for a while.
func (m *Mover) Move(ctx context.Context, shard uint16, to string) error {
	return m.move(ctx, shard, to, func(ctx context.Context) {
		m.moves.note(shard)
		m.announce(ctx, shard, to)
	})
}

// flee hands a lead away that cannot stay here. As after a takeover, it may be
// placed anew at once: it does not belong where it went.
func (m *Mover) flee(ctx context.Context, shard uint16, to string) error {
	return m.move(ctx, shard, to, func(context.Context) {})
}

func (m *Mover) move(ctx context.Context, shard uint16, to string, first func(context.Context)) error {
	g, err := m.o.Group(shard)
	if err != nil {
		return err
	}
	id := m.voter(g, to)
	if id == "" {
		return fmt.Errorf("%s is no voter of shard %d", to, shard)
	}
	if !m.moves.begin(shard) {
		return fmt.Errorf("the lead of shard %d is being moved already", shard)
	}
	defer m.moves.end(shard)
	ctx, cancel := context.WithTimeout(ctx, transferTimeout)
	defer cancel()
	first(ctx)
	if err := m.o.Transfer(ctx, shard, id); err != nil {
		return err
	}
	m.moves.gave(shard, to)
	m.o.Log.Info("the lead was moved", "shard", shard, "to", to)
	return nil
}

// announce tells the node that a lead is on its way, so that it keeps it for a
// while. If it does not hear, the lead may move once more.
func (m *Mover) announce(ctx context.Context, shard uint16, to string) {
	ctx, cancel := context.WithTimeout(ctx, noticeTimeout)
	defer cancel()
	if err := m.o.Ask(ctx, to, MethodNotice, shard, &struct{}{}); err != nil {
		m.o.Log.Info("a lead is moved unannounced", "shard", shard, "to", to, "err", err)
	}
}

// Notice notes that a lead is on its way here.
func (m *Mover) Notice(_ context.Context, shard uint16) (struct{}, error) {
	m.moves.note(shard)
	return struct{}{}, nil
}

// Here hands a lead over that an operator wants elsewhere.
func (m *Mover) Here(ctx context.Context, r Request) (struct{}, error) {
	g, err := m.o.Group(r.Shard)
	if err != nil || r.To == m.o.Self {
		return struct{}{}, err
	}
	if !m.fit(r.To, g) {
		return struct{}{}, fmt.Errorf("%s is not fit to lead shard %d: it must be alive for %s, caught up, and not draining", r.To, r.Shard, settled)
	}
	return struct{}{}, m.Move(ctx, r.Shard, r.To)
}

// Draining reports whether Drain was called.
func (m *Mover) Draining() bool { return m.draining.Load() }

// Drain hands every lead away, that of the control group too, and takes none
// until the process ends. It returns when this node leads nothing, with ctx, or
// at once when there is nobody to hand anything to: all others are down or
// draining as well.
func (m *Mover) Drain(ctx context.Context) error {
	m.draining.Store(true)
	tick := time.NewTicker(drainInterval)
	defer tick.Stop()
	for {
		left, err := m.drainOnce(ctx)
		if left == 0 || !m.o.Peers.SomeTake() {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("drain: %d shards are still led here: %w", left, errors.Join(err, ctx.Err()))
		}
	}
}

// drainOnce tries to hand away what this node leads.
func (m *Mover) drainOnce(ctx context.Context) (left int, err error) {
	for _, g := range m.o.Groups() {
		if !g.Leads {
			continue
		}
		left++
		to := m.refuge(g)
		if to == "" {
			err = errors.New("no other member is fit to lead")
			continue
		}
		err = m.flee(ctx, g.Shard, to)
	}
	return left, err
}
