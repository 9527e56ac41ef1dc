package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"quorumta/cluster/control"
)

const (
	methodOrder = "cluster.order"
	// councilInterval is how often the control leader looks whether anything
	// should change.
	councilInterval = time.Second
	// orderTimeout bounds an order whose caller sets no end.
	orderTimeout = 10 * time.Second
	orderPause   = 200 * time.Millisecond
)

// mapKey is where the control group's state has the map.
const mapKey = "map"

// The control group's results.
const (
	folded  Result = 1
	refused Result = 2
)

// council is the machine of the control group: it folds changes into the map.
type council struct{ node *Node }

// Apply implements Machine.
func (c *council) Apply(view View, batch Batch, entry Entry) []Result {
	change, err := control.DecodeChange(entry.Data)
	if err != nil {
		panic(err)
	}
	m, err := mapIn(view).Apply(entry.Index, change)
	switch {
	case errors.Is(err, control.ErrUnknown):
		panic(err)
	case err != nil:
		return []Result{refused}
	}
	batch.Set([]byte(mapKey), m.Encode())
	c.node.atlas.offer(m)
	return []Result{folded}
}

// Lead implements Machine.
func (c *council) Lead(uint64) {}

// Unlead implements Machine.
func (c *council) Unlead() {}

// mapIn is the map in the control group's state.
func mapIn(view View) (m control.Map) {
	text, ok := view.Get([]byte(mapKey))
	if !ok {
		return m
	}
	m, err := control.DecodeMap(text)
	if err != nil {
		panic(fmt.Sprintf("the control group's state: %v", err))
	}
	return m
}

// controlMap is the map as this node's replica of the control group has it.
func (n *Node) controlMap() (control.Map, bool) {
	view, done, err := n.View(0)
	if err != nil {
		return control.Map{}, false
	}
	defer done()
	m := mapIn(view)
	return m, m.Version > 0
}

// preside decides what should change, while this node leads the control group,
// until ctx ends.
func (n *Node) preside(ctx context.Context) {
	every(ctx, councilInterval, func(ctx context.Context) {
		if _, ok := n.Term(0); !ok {
			return
		}
		err := n.decide(ctx, func(m *control.Map) ([]control.Event, error) {
			return control.Next(*m, n.facts()), nil
		})
		if err != nil && ctx.Err() == nil && !errors.Is(err, ErrNotLeader) {
			n.o.Log.Warn("the map cannot be changed", "err", err)
		}
	})
}

// decide has the control group fold what is decided on its newest map; the
// first of all is the one that the cluster was founded with. It fails as
// Propose does, or with the decision's error.
func (n *Node) decide(ctx context.Context, decision func(*control.Map) ([]control.Event, error)) error {
	for {
		term, ok := n.Term(0)
		if !ok {
			return fmt.Errorf("the control group: %w", ErrNotLeader)
		}
		m, _ := n.controlMap()
		first := n.Map()
		events, err := []control.Event{{Kind: control.Founded, Map: &first}}, error(nil)
		if m.Version > 0 {
			events, err = decision(&m)
		}
		if err != nil || len(events) == 0 {
			return err
		}
		entry, err := control.Change{Base: m.Version, Time: time.Now().UTC(), Events: events}.Encode()
		if err != nil {
			return err
		}
		results, err := n.Propose(ctx, 0, term, entry)
		if err != nil {
			return fmt.Errorf("the control group: %w", err)
		}
		if len(results) != 1 || results[0] != folded {
			continue // decided on a map that is old by now
		}
		n.o.Log.Info("the map has changed", "change", string(entry))
		if m.Version > 0 {
			return nil
		}
	}
}

// facts are what this node, the control leader, has seen of the others.
func (n *Node) facts() control.Facts {
	own := n.report()
	groups := map[ShardID]control.Report{}
	c := n.atlas.get()
	for _, s := range c.Groups() {
		leader, at := n.peers.Leader(s.ID)
		o, _ := n.peers.Get(leader)
		seen := o.Report.Map
		if mine := own.Shards[s.ID]; mine.Office != nil && mine.Term >= at.Term {
			at, seen = mine, own.Map
		}
		if at.Office != nil {
			groups[s.ID] = control.Report{Voters: at.Office.Voters, Others: at.Office.Others, Settled: at.Office.Settled, Empty: at.Office.Empty, Seen: seen}
		}
	}
	return control.Facts{
		Alive: n.isAlive,
		Seen: func(name string) uint64 {
			if name == n.o.Name {
				return own.Map
			}
			o, _ := n.peers.Get(name)
			return o.Report.Map
		},
		Groups: groups,
	}
}

// isAlive reports whether the member answers and is who the map says.
func (n *Node) isAlive(name string) bool {
	x, ok := n.atlas.get().Member(name)
	if !ok {
		return false
	}
	if name == n.o.Name {
		return x.Incarnation == n.papers.Incarnation()
	}
	o, alive := n.peers.Get(name)
	return alive && o.Report.Incarnation == x.Incarnation
}

// The acts of an order.
const (
	actJoin     = "join"
	actRemove   = "remove"
	actToken    = "token"
	actRedeem   = "redeem"
	actShards   = "shards"
	actUpgrade  = "upgrade"
	actSkip     = "skip"
	actAnnounce = "announce"
)

// order is what the leader of the control group is asked to decide.
type order struct {
	Act     string         `json:"act"`
	Member  control.Member `json:"member,omitzero"`
	Name    string         `json:"name,omitempty"`
	Force   bool           `json:"force,omitempty"`
	Secret  []byte         `json:"secret,omitempty"`
	Expires time.Time      `json:"expires,omitzero"`
	Count   int            `json:"count,omitempty"`
	Shard   ShardID        `json:"shard,omitempty"`
	Index   uint64         `json:"index,omitempty"`
}

// answer is what came of an order: errors keep their kind over the wire.
type answer struct {
	Refused   string `json:"refused,omitempty"`
	Token     bool   `json:"token,omitempty"`     // refused with control.ErrToken
	Elsewhere bool   `json:"elsewhere,omitempty"` // nothing was proposed: not the leader
	Unknown   bool   `json:"unknown,omitempty"`   // it may have been done
}

// orderHere carries an order out on the leader of the control group.
func (n *Node) orderHere(ctx context.Context, o order) (answer, error) {
	err := n.decide(ctx, func(m *control.Map) ([]control.Event, error) {
		switch o.Act {
		case actJoin:
			return m.Join(o.Member, n.isAlive)
		case actRemove:
			return m.Remove(o.Name, o.Force, n.isAlive)
		case actToken:
			return m.MakeToken(o.Secret, time.Now(), o.Expires)
		case actRedeem:
			return m.Redeem(o.Secret, time.Now(), o.Member, n.isAlive)
		case actShards:
			return m.Count(o.Count)
		case actUpgrade:
			return m.Upgrade()
		case actSkip:
			return m.Skip(o.Shard, o.Index)
		case actAnnounce:
			return m.Announce(o.Member)
		}
		return nil, fmt.Errorf("the control group's leader does not know the order %q: upgrade it first", o.Act)
	})
	if err == nil {
		return answer{}, nil
	}
	return answer{
		Refused:   err.Error(),
		Token:     errors.Is(err, control.ErrToken),
		Elsewhere: errors.Is(err, ErrNotLeader),
		Unknown:   errors.Is(err, ErrUnknownOutcome),
	}, nil
}

// request has the leader of the control group carry an order out. While there
// is no leader it waits, up to orderTimeout; orders may be repeated.
func (n *Node) request(ctx context.Context, o order) error {
	ctx, cancel := context.WithTimeout(ctx, orderTimeout)
	defer cancel()
	last := error(ErrNotLeader)
	for {
		if leader := n.Leader(0); leader != "" {
			var a answer
			err := n.ask(ctx, leader, methodOrder, o, &a)
			switch {
			case err != nil:
				last = err
			case a.Elsewhere || a.Unknown:
				last = errors.New(a.Refused)
			case a.Token:
				return ErrToken
			case a.Refused != "":
				return errors.New(a.Refused)
			default:
				return nil
			}
		}
		select {
		case <-time.After(orderPause):
		case <-ctx.Done():
			return fmt.Errorf("%w: the control group cannot decide; a majority of its members is needed: %w", ErrNotLeader, last)
		}
	}
}
