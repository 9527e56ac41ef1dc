package control

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// mostTokens bounds how many tokens wait to be used.
const mostTokens = 64

// ErrToken: the token is unknown, used or expired. Make a new one.
var ErrToken = errors.New("the join token is unknown, used or expired: make a new one on a member with quorumta cluster token")

// Join decides that a node becomes a member, or the new incarnation of one
// whose old one is not alive. Repeating it changes nothing.
func (m Map) Join(x Member, alive func(name string) bool) ([]Event, error) {
	if x.Name == "" || strings.ContainsAny(x.Name, "/ ") || x.Incarnation == "" || x.Address == "" {
		return nil, fmt.Errorf("join %q: a member needs a name without slash and space, an incarnation and an address", x.Name)
	}
	if x.Level < m.Level {
		return nil, fmt.Errorf("join %s: its program is too old: it knows events up to level %d, and the cluster writes level %d", x.Name, x.Level, m.Level)
	}
	x.Leaving = false
	for _, other := range m.Members {
		if other.Name != x.Name && other.Address == x.Address {
			return nil, fmt.Errorf("join %s: %s has the address %s already", x.Name, other.Name, x.Address)
		}
	}
	old, has := m.Member(x.Name)
	switch {
	case has && old == x:
		return nil, nil
	case has && old.Incarnation == x.Incarnation && old.Leaving:
		return nil, fmt.Errorf("join %s: it is leaving the cluster; when it has left, let it join with an empty data directory", x.Name)
	case has && old.Incarnation == x.Incarnation:
		return []Event{{Kind: Announced, Member: &x}}, nil
	case has && alive(x.Name):
		return nil, fmt.Errorf("join %s: a member of this name is alive: stop it first, or choose another name", x.Name)
	}
	return []Event{{Kind: Joined, Member: &x}}, nil
}

// Announce decides that a member's address, version or level have changed.
func (m Map) Announce(x Member) ([]Event, error) {
	old, has := m.Member(x.Name)
	switch {
	case !has || old.Incarnation != x.Incarnation:
		return nil, fmt.Errorf("%s is no member of this cluster", x.RaftID())
	case old.Address == x.Address && old.Version == x.Version && old.Level == x.Level:
		return nil, nil
	}
	return []Event{{Kind: Announced, Member: &x}}, nil
}

// Remove decides that a member leaves. Without force it is refused where no
// majority of those that remain is alive.
func (m Map) Remove(name string, force bool, alive func(name string) bool) ([]Event, error) {
	x, has := m.Member(name)
	switch {
	case !has:
		return nil, fmt.Errorf("remove %s: no such member", name)
	case x.Leaving:
		return nil, nil
	}
	remain, live := 0, 0
	for _, other := range m.Members {
		if other.Name == name || other.Leaving {
			continue
		}
		remain++
		if alive(other.Name) {
			live++
		}
	}
	switch {
	case remain == 0:
		return nil, fmt.Errorf("remove %s: it is the last member", name)
	case !force && 2*live <= remain:
		return nil, fmt.Errorf("remove %s: of the %d members that remain only %d are alive, which is no majority: bring them back first, or use --force", name, remain, live)
	}
	return []Event{{Kind: Leaving, Name: name}}, nil
}

// Count decides how many shards take new mail; 0 means one per member.
func (m Map) Count(shards int) ([]Event, error) {
	if shards < 0 || shards > int(LastShard) {
		return nil, fmt.Errorf("%d shards: from 0, which means one per member, to %d", shards, LastShard)
	}
	if shards == m.WantShards {
		return nil, nil
	}
	return []Event{{Kind: Counted, Count: shards}}, nil
}

// Upgrade decides that events of the newest level that all members know may be
// written. From then on no older program can be a member.
func (m Map) Upgrade() ([]Event, error) {
	least := leastLevel(m.Members)
	if least <= m.Level {
		return nil, nil
	}
	return []Event{{Kind: Upgraded, Count: least}}, nil
}

// Skip decides that no replica of the shard folds the entry. stopped are the
// members whose replica has stopped at an entry, and at which; without force
// one of them must have stopped at this one: an entry that can be folded is
// mail.
func (m Map) Skip(shard ShardID, index uint64, force bool, stopped map[string]uint64) ([]Event, error) {
	if _, has := m.Shard(shard); !has || shard == 0 {
		return nil, fmt.Errorf("skip: there is no shard %d", shard)
	}
	if m.Skipped(shard, index) {
		return nil, nil
	}
	var at []string
	seen := force
	for _, name := range slices.Sorted(maps.Keys(stopped)) {
		at = append(at, fmt.Sprintf("%s at entry %d", name, stopped[name]))
		seen = seen || stopped[name] == index
	}
	switch {
	case !seen && len(at) == 0:
		return nil, fmt.Errorf("skip: no replica of shard %d that answers has stopped at an entry; to skip entry %d all the same, use --force", shard, index)
	case !seen:
		return nil, fmt.Errorf("skip: no replica of shard %d has stopped at entry %d, but %s; to skip entry %d all the same, use --force",
			shard, index, strings.Join(at, ", "), index)
	}
	return []Event{{Kind: Skipped, Shard: shard, Index: index}}, nil
}

// MakeToken decides on a token that is good until it expires.
func (m Map) MakeToken(secret []byte, now, expires time.Time) ([]Event, error) {
	hash := hashOf(secret)
	if slices.ContainsFunc(m.Tokens, func(t Token) bool { return bytes.Equal(t.Hash, hash) }) {
		return nil, nil // it was made, and the answer got lost
	}
	events := m.expired(now)
	if len(m.Tokens)-len(events) >= mostTokens {
		return nil, fmt.Errorf("%d tokens wait to be used: let some expire first", mostTokens)
	}
	return append(events, Event{Kind: TokenMade, Token: &Token{hash, expires}}), nil
}

// Redeem decides that a node joins by a token, which is used up.
func (m Map) Redeem(secret []byte, now time.Time, x Member, alive func(name string) bool) ([]Event, error) {
	hash := hashOf(secret)
	i := slices.IndexFunc(m.Tokens, func(t Token) bool { return bytes.Equal(t.Hash, hash) })
	if i < 0 || !now.Before(m.Tokens[i].Expires) {
		return nil, ErrToken
	}
	joined, err := m.Join(x, alive)
	if err != nil {
		return nil, err
	}
	return append(joined, Event{Kind: TokenGone, Token: &m.Tokens[i]}), nil
}

// expired are the ends of the tokens that are too old.
func (m Map) expired(now time.Time) (events []Event) {
	for i := range m.Tokens {
		if !now.Before(m.Tokens[i].Expires) {
			events = append(events, Event{Kind: TokenGone, Token: &m.Tokens[i]})
		}
	}
	return events
}

func hashOf(secret []byte) []byte {
	sum := sha256.Sum256(secret)
	return sum[:]
}
