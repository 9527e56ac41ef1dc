// Package book is where a node looks for the others. The map says where they
// are; the options help out where there is no map yet, and where a member does
// not answer at its address on it.
package book

import (
	"maps"
	"time"

	"quorumta/cluster/control"
)

const (
	// farewell is for how long a member that has left may still call, to learn
	// that it has.
	farewell = 30 * time.Second
	// seedInterval is for how long a member that does not answer is looked for
	// where the map has it, and then where the options have it.
	seedInterval = 5 * time.Second
)

// Book is for one goroutine.
type Book struct {
	// Self is the node's Raft id.
	Self string
	// Seeds are name and address of members as the options have them.
	Seeds map[string]string
	// Alive reports whether a member answers.
	Alive func(name string) bool

	parting map[string]parting
	told    map[string]string
	began   time.Time
}

// parting is who has left.
type parting struct {
	address string
	until   time.Time
}

// Turn notes who left from one map to the next.
func (b *Book) Turn(old, next control.Map, now time.Time) {
	for _, x := range old.Members {
		if _, stays := next.Member(x.Name); !stays {
			if b.parting == nil {
				b.parting = map[string]parting{}
			}
			b.parting[x.Name] = parting{x.Address, now.Add(farewell)}
		}
	}
}

// Addresses are name and address of all who may call and be called, and
// whether that has changed since the last time.
func (b *Book) Addresses(m control.Map, now time.Time) (all map[string]string, changed bool) {
	if b.began.IsZero() {
		b.began = now
	}
	all = map[string]string{}
	if m.Version == 0 || !m.Current(b.Self) {
		maps.Copy(all, b.Seeds)
	}
	for name, p := range b.parting {
		if now.After(p.until) {
			delete(b.parting, name)
		} else {
			all[name] = p.address
		}
	}
	for name, address := range m.Addresses() {
		all[name] = b.where(name, address, now)
	}
	changed = !maps.Equal(all, b.told)
	b.told = all
	return all, changed
}

// where is a member's address: that of the map, or, every other time while it
// does not answer there, that of the options. When all have moved while they
// were down, none knows another's new address but from its own configuration.
func (b *Book) where(name, address string, now time.Time) string {
	seed := b.Seeds[name]
	switch {
	case name == control.NameOf(b.Self) || seed == "" || seed == address:
		return address
	case b.Alive(name) && b.told[name] != "":
		return b.told[name]
	case now.Sub(b.began)/seedInterval%2 == 0:
		return address
	}
	return seed
}
