package control

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Kind says what an Event is about. A kind is never given a second meaning.
type Kind string

// The kinds, and which fields of an Event they use.
const (
	Founded   Kind = "founded"    // Map: the first one
	Joined    Kind = "joined"     // Member: new, or a new incarnation
	Announced Kind = "announced"  // Member: address, version and level are these now
	Leaving   Kind = "leaving"    // Name
	Left      Kind = "left"       // Name
	Opened    Kind = "opened"     // Shard, Replicas: a new shard
	Assigned  Kind = "assigned"   // Shard, Replicas
	Retired   Kind = "retired"    // Shard: takes no new mail
	Revived   Kind = "revived"    // Shard: takes new mail again
	Sealed    Kind = "sealed"     // Shard: proposes nothing any more
	Unsealed  Kind = "unsealed"   // Shard: holds something after all
	Closed    Kind = "closed"     // Shard: is gone
	Counted   Kind = "counted"    // Count: how many shards take new mail
	TokenMade Kind = "token_made" // Token
	TokenGone Kind = "token_gone" // Token: used or expired
	Upgraded  Kind = "upgraded"   // Count: the level
	Skipped   Kind = "skipped"    // Shard, Index
)

// Event is a fact about the cluster.
type Event struct {
	Kind     Kind     `json:"kind"`
	Shard    ShardID  `json:"shard,omitempty"`
	Index    uint64   `json:"index,omitempty"`
	Count    int      `json:"count,omitempty"`
	Name     string   `json:"name,omitempty"`
	Replicas []string `json:"replicas,omitempty"`
	Member   *Member  `json:"member,omitempty"`
	Token    *Token   `json:"token,omitempty"`
	Map      *Map     `json:"map,omitempty"`
}

// Change is an entry of the control group: events that are folded together, or
// refused together.
type Change struct {
	// Base is the version of the map that they were decided on.
	Base   uint64    `json:"base"`
	Time   time.Time `json:"time"`
	Events []Event   `json:"events"`
}

var (
	// ErrStale: the map has changed since the decision; decide again.
	ErrStale = errors.New("the map has changed meanwhile")
	// ErrUnknown: a newer program wrote the change; the replica must stop.
	ErrUnknown = errors.New("the change is of a kind that this program does not know: install the newer one")
	// errUnfit: an event does not fit the map it is said to be decided on.
	errUnfit = errors.New("the event does not fit the map")
)

// Encode is the change as an entry.
func (c Change) Encode() ([]byte, error) { return json.Marshal(c) }

// DecodeChange reads an entry. The error wraps ErrUnknown.
func DecodeChange(entry []byte) (c Change, err error) {
	d := json.NewDecoder(bytes.NewReader(entry))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return c, fmt.Errorf("%w (%w)", ErrUnknown, err)
	}
	return c, nil
}

// Apply folds the change at the index of the control group. The error is
// ErrStale or another refusal, and the map stays as it was; ErrUnknown is for
// the caller to stop at.
func (m Map) Apply(index uint64, c Change) (Map, error) {
	if c.Base != m.Version {
		return m, ErrStale
	}
	next := m.clone()
	for _, e := range c.Events {
		if err := next.fold(e, index); err != nil {
			return m, err
		}
	}
	next.Version = index
	return next, nil
}

// fold changes the map by one event.
func (m *Map) fold(e Event, index uint64) error {
	if m.Version == 0 && e.Kind != Founded {
		return errUnfit
	}
	switch e.Kind {
	case Founded:
		if m.Version != 0 || e.Map == nil || e.Map.Version != 0 {
			return errUnfit
		}
		*m = e.Map.clone()
		return nil
	case Joined, Announced, Leaving, Left:
		return m.foldMember(e)
	case Opened:
		return m.foldOpened(e)
	case Assigned, Retired, Revived, Sealed, Unsealed, Closed, Skipped:
		return m.foldShard(e, index)
	case Counted:
		m.WantShards = e.Count
	case Upgraded:
		m.Level = max(m.Level, e.Count)
	case TokenMade, TokenGone:
		return m.foldToken(e)
	default:
		return fmt.Errorf("%w: %q", ErrUnknown, e.Kind)
	}
	return nil
}

func (m *Map) foldMember(e Event) error {
	name := e.Name
	if e.Member != nil {
		name = e.Member.Name
	}
	i, has := slices.BinarySearchFunc(m.Members, name, func(x Member, name string) int { return strings.Compare(x.Name, name) })
	switch {
	case e.Kind == Joined && e.Member != nil && !has:
		m.Members = slices.Insert(m.Members, i, *e.Member)
	case e.Kind == Joined && e.Member != nil:
		m.Members[i] = *e.Member
	case !has:
		return errUnfit
	case e.Kind == Announced && e.Member != nil:
		x := &m.Members[i]
		x.Address, x.Version, x.Level = e.Member.Address, e.Member.Version, e.Member.Level
	case e.Kind == Leaving:
		m.Members[i].Leaving = true
	case e.Kind == Left:
		m.Members = slices.Delete(m.Members, i, i+1)
	default:
		return errUnfit
	}
	return nil
}

func (m *Map) foldOpened(e Event) error {
	if e.Shard != m.Next || e.Shard > LastShard || len(e.Replicas) == 0 {
		return errUnfit
	}
	m.Shards = append(m.Shards, Shard{ID: e.Shard, Replicas: e.Replicas, Founders: e.Replicas})
	m.Next++
	return nil
}

func (m *Map) foldShard(e Event, index uint64) error {
	s := m.shard(e.Shard)
	if s == nil || (e.Shard == 0 && e.Kind != Assigned) {
		return errUnfit
	}
	switch e.Kind {
	case Assigned:
		if len(e.Replicas) == 0 {
			return errUnfit
		}
		s.Replicas = e.Replicas
	case Retired:
		s.Retiring = true
	case Revived:
		s.Retiring, s.Sealed = false, 0
	case Sealed:
		s.Sealed = index
	case Unsealed:
		s.Sealed = 0
	case Closed:
		m.Shards = slices.DeleteFunc(m.Shards, func(s Shard) bool { return s.ID == e.Shard })
		m.Skips = slices.DeleteFunc(m.Skips, func(s Skip) bool { return s.Shard == e.Shard })
	case Skipped:
		if !m.Skipped(e.Shard, e.Index) {
			m.Skips = append(m.Skips, Skip{e.Shard, e.Index})
		}
	}
	return nil
}

func (m *Map) foldToken(e Event) error {
	if e.Token == nil {
		return errUnfit
	}
	i := slices.IndexFunc(m.Tokens, func(t Token) bool { return bytes.Equal(t.Hash, e.Token.Hash) })
	switch {
	case e.Kind == TokenMade && i < 0:
		m.Tokens = append(m.Tokens, *e.Token)
	case e.Kind == TokenGone && i >= 0:
		m.Tokens = slices.Delete(m.Tokens, i, i+1)
	default:
		return errUnfit
	}
	return nil
}
