// Package atlas has the newest map of the cluster that a node has seen.
package atlas

import (
	"sync"
	"sync/atomic"

	"quorumta/cluster/control"
)

// Chart is a map and what is often asked of it. Nobody changes one.
type Chart struct {
	control.Map
	// IDs are the shards, ascending.
	IDs []control.ShardID
	// Lead is which member should lead each shard.
	Lead map[control.ShardID]string
}

// Atlas has the newest map. Its methods are safe for concurrent use.
type Atlas struct {
	now  atomic.Pointer[Chart]
	news chan struct{} // holds one when the map has changed

	mu sync.Mutex // held while the map changes
}

// New makes an atlas that begins with the map.
func New(m control.Map) *Atlas {
	a := &Atlas{news: make(chan struct{}, 1)}
	a.set(m)
	return a
}

// Now is the newest map.
func (a *Atlas) Now() *Chart { return a.now.Load() }

// News has a value when the map has changed since the last one was taken. It
// is for one reader.
func (a *Atlas) News() <-chan struct{} { return a.news }

// Begin takes a first map, of version 0.
func (a *Atlas) Begin(m control.Map) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.Now().Version == 0 {
		a.set(m)
	}
}

// Offer takes the map if it is newer.
func (a *Atlas) Offer(m control.Map) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if m.Version > a.Now().Version {
		a.set(m)
	}
}

func (a *Atlas) set(m control.Map) {
	c := &Chart{Map: m, Lead: m.Leads()}
	for _, s := range m.Shards {
		c.IDs = append(c.IDs, s.ID)
	}
	a.now.Store(c)
	select {
	case a.news <- struct{}{}:
	default:
	}
}
