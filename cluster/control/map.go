package control

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// ShardID names a Raft group: 0 is the control group, shards count from 1.
type ShardID = uint16

const (
	// LastShard is what the twelve bits of a message id allow.
	LastShard ShardID = 4095
	// DefaultReplication is how many replicas a shard has where nobody says.
	DefaultReplication = 3
	// controlReplicas is how many members the control group has at most.
	controlReplicas = 5
)

// Map is what the members agree on. Its zero value is the map of a cluster
// that was not founded yet.
type Map struct {
	// Version is the index of the control entry that made it; 0 for none.
	Version uint64 `json:"version"`
	// Members stand by name.
	Members []Member `json:"members"`
	// Control is the control group's own entry, of id 0.
	Control Shard `json:"control"`
	// Shards stand by id, ascending.
	Shards []Shard `json:"shards"`
	// Next is the id of the next new shard.
	Next ShardID `json:"next"`
	// Replication is how many replicas a shard has where there are members
	// enough; an even number counts as one less.
	Replication int `json:"replication"`
	// WantShards is how many shards take new mail; 0: one per member.
	WantShards int `json:"want_shards"`
	// Tokens may be redeemed, each once.
	Tokens []Token `json:"tokens,omitempty"`
	// Level is the newest event level that may be written. It begins with what
	// all founders know; 0: that is not known yet, and only what every program
	// knows may be written.
	Level int `json:"level"`
	// Skips are entries that no replica folds (PROTOCOL 22).
	Skips []Skip `json:"skips,omitempty"`
}

// Member is a node of the cluster.
type Member struct {
	Name string `json:"name"`
	// Incarnation tells the node from one of the same name that lost its data.
	Incarnation string `json:"incarnation"`
	// Address is its cluster port, host:port.
	Address string `json:"address"`
	// Version is its program's; Level the newest event level that this knows.
	Version string `json:"version"`
	Level   int    `json:"level"`
	// Leaving: its replicas move away, and it is dropped when it has none.
	Leaving bool `json:"leaving,omitempty"`
}

// RaftID is the member's id in Raft configurations, name/incarnation.
func (m Member) RaftID() string { return m.Name + "/" + m.Incarnation }

// NameOf is the name in a Raft id.
func NameOf(raftID string) string {
	name, _, _ := strings.Cut(raftID, "/")
	return name
}

// Shard is a Raft group and where its replicas should be.
type Shard struct {
	ID ShardID `json:"id"`
	// Replicas are Raft ids, in order.
	Replicas []string `json:"replicas"`
	// Founders are the Raft ids of the first configuration. Each of them writes
	// it when it opens the shard for the first time, and nobody else does.
	Founders []string `json:"founders"`
	// Retiring: no new mail goes there.
	Retiring bool `json:"retiring,omitempty"`
	// Sealed is the map version from which on the shard proposes nothing any
	// more, because its leader said that it holds nothing; 0 while it does.
	Sealed uint64 `json:"sealed,omitempty"`
}

// Token lets one node join.
type Token struct {
	// Hash is the SHA-256 of the secret.
	Hash    []byte    `json:"hash"`
	Expires time.Time `json:"expires"`
}

// Skip names an entry that no replica folds.
type Skip struct {
	Shard ShardID `json:"shard"`
	Index uint64  `json:"index"`
}

// Found is the first map of a cluster: so many shards, 0 meaning one per
// member, spread evenly. The members' levels are 0 where they are not known.
func Found(members []Member, replication, shards int) Map {
	m := Map{Members: slices.Clone(members), Replication: replication, WantShards: shards, Next: 1}
	slices.SortFunc(m.Members, byName)
	m.Level = leastLevel(m.Members)
	if m.Replication == 0 {
		m.Replication = DefaultReplication
	}
	if shards == 0 {
		shards = len(members)
	}
	ring := func(from, count int) (ids []string) {
		for i := range count {
			ids = append(ids, m.Members[(from+i)%len(members)].RaftID())
		}
		return slices.Sorted(slices.Values(ids))
	}
	all := ring(0, factor(controlReplicas, len(members), len(members)))
	m.Control = Shard{Replicas: all, Founders: all}
	for i := range shards {
		ids := ring(i, factor(m.Replication, len(members), len(members)))
		m.Shards = append(m.Shards, Shard{ID: m.Next, Replicas: ids, Founders: ids})
		m.Next++
	}
	return m
}

// factor is how many replicas a group should have: at most most, and an odd
// number. Two members are a case of their own: a second replica is not added,
// because the death of either would stop the group, but is not given up.
func factor(most, members, has int) int {
	n := min(most, members)
	if n == 2 && has >= 2 {
		return 2
	}
	if n%2 == 0 {
		n--
	}
	return max(n, 1)
}

// leastLevel is the newest level that all members know; 0 while one has not said.
func leastLevel(members []Member) int {
	if len(members) == 0 {
		return 0
	}
	return slices.MinFunc(members, func(a, b Member) int { return a.Level - b.Level }).Level
}

func byName(a, b Member) int { return strings.Compare(a.Name, b.Name) }

// Member is the member of that name.
func (m Map) Member(name string) (Member, bool) {
	i, ok := slices.BinarySearchFunc(m.Members, name, func(x Member, name string) int { return strings.Compare(x.Name, name) })
	if !ok {
		return Member{}, false
	}
	return m.Members[i], true
}

// Current reports whether the Raft id is a member's as it is now.
func (m Map) Current(raftID string) bool {
	x, ok := m.Member(NameOf(raftID))
	return ok && x.RaftID() == raftID
}

// Shard is the shard of that id; 0 is the control group.
func (m Map) Shard(id ShardID) (Shard, bool) {
	if id == 0 {
		return m.Control, len(m.Control.Replicas) > 0
	}
	if s := m.shard(id); s != nil {
		return *s, true
	}
	return Shard{}, false
}

// shard is the shard in its place, to be changed there; nil if there is none.
func (m *Map) shard(id ShardID) *Shard {
	if id == 0 {
		return &m.Control
	}
	i, ok := slices.BinarySearchFunc(m.Shards, id, func(s Shard, id ShardID) int { return int(s.ID) - int(id) })
	if !ok {
		return nil
	}
	return &m.Shards[i]
}

// Groups are the control group, where there is one, and the shards.
func (m Map) Groups() []Shard {
	if len(m.Control.Replicas) == 0 {
		return m.Shards
	}
	return append([]Shard{m.Control}, m.Shards...)
}

// Addresses are the members' names and addresses.
func (m Map) Addresses() map[string]string {
	all := make(map[string]string, len(m.Members))
	for _, x := range m.Members {
		all[x.Name] = x.Address
	}
	return all
}

// Skipped reports whether the entry is not to be folded.
func (m Map) Skipped(shard ShardID, index uint64) bool {
	return slices.Contains(m.Skips, Skip{shard, index})
}

// clone is a copy that can be changed: the lists are its own, what they share
// is only ever replaced.
func (m Map) clone() Map {
	m.Members = slices.Clone(m.Members)
	m.Shards = slices.Clone(m.Shards)
	m.Tokens = slices.Clone(m.Tokens)
	m.Skips = slices.Clone(m.Skips)
	return m
}

// Encode is the map as JSON: the same bytes for the same map.
func (m Map) Encode() []byte {
	text, err := json.Marshal(m)
	if err != nil {
		panic("control: a map cannot be encoded: " + err.Error())
	}
	return text
}

// DecodeMap reads what Encode wrote.
func DecodeMap(text []byte) (m Map, err error) {
	if err := json.Unmarshal(text, &m); err != nil {
		return m, fmt.Errorf("decode map: %w", err)
	}
	return m, nil
}
