// Package marks has the replicas of a shard look at their states in the same
// place: behind an entry that is a mark.
package marks

import (
	"bytes"
	"context"
	"encoding/hex"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

const (
	// A mark stands in an entry's Extensions, which the machine never sees:
	//
	//	'm' or 'M'  1 byte; 'M' asks for the digest of the whole state
	//	id          16 bytes, drawn at random
	shallowMark = 'm'
	deepMark    = 'M'
	markLength  = 17

	// keptMarks are remembered; one view at most is pinned, for viewLife.
	keptMarks = 8
	viewLife  = time.Minute
)

// Digest is a replica's running digest exactly behind the entry Applied, and
// the digest of the whole state there where it was asked for.
type Digest struct {
	Applied uint64
	Chain   string // hex
	SHA256  string // hex, or ""
}

// View is a consistent view of a state.
type View interface {
	// SHA256 is the digest of what the state replicates.
	SHA256() [32]byte
	// Close ends the view.
	Close()
}

// In is the mark in an entry, if it is one.
func In(l *raft.Log) (mark []byte, ok bool) {
	if l.Type != raft.LogCommand || len(l.Extensions) != markLength {
		return nil, false
	}
	return l.Extensions, true
}

// Entry is the entry that has every replica look at its state in the same
// place; its Extensions are the mark.
func Entry(id [16]byte, deep bool) raft.Log {
	kind := byte(shallowMark)
	if deep {
		kind = deepMark
	}
	return raft.Log{Extensions: append([]byte{kind}, id[:]...)}
}

// Marks remembers what a replica was when it came to the last marks. Its
// methods may be called from any goroutine.
type Marks struct {
	mu      sync.Mutex // guards the rest
	noted   []*noted
	changed chan struct{} // closed, and made anew, when one is noted
}

type noted struct {
	mark   []byte
	digest Digest
	view   View // nil where the mark is shallow, or the view was closed
	expire *time.Timer
}

// New remembers nothing.
func New() *Marks { return &Marks{changed: make(chan struct{})} }

// Note is called between two updates of the state, with what it has applied,
// its running digest and what opens a view of it.
func (m *Marks) Note(mark []byte, index uint64, chain [32]byte, open func() View) {
	n := &noted{mark: bytes.Clone(mark), digest: Digest{Applied: index, Chain: hex.EncodeToString(chain[:])}}
	m.mu.Lock()
	defer m.mu.Unlock()
	if mark[0] == deepMark {
		for _, old := range m.noted {
			old.dropView()
		}
		n.view = open()
		n.expire = time.AfterFunc(viewLife, func() {
			m.mu.Lock()
			defer m.mu.Unlock()
			n.dropView()
		})
	}
	if len(m.noted) == keptMarks {
		m.noted[0].dropView()
		m.noted = m.noted[1:]
	}
	m.noted = append(m.noted, n)
	close(m.changed)
	m.changed = make(chan struct{})
}

// dropView is called with the mutex of marks held.
func (n *noted) dropView() {
	if n.view != nil {
		n.expire.Stop()
		n.view.Close()
		n.view = nil
	}
}

// Clear unpins every view.
func (m *Marks) Clear() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, n := range m.noted {
		n.dropView()
	}
	m.noted = nil
}

// Wait waits until the replica has come to the mark.
func (m *Marks) Wait(ctx context.Context, mark []byte) (Digest, error) {
	for {
		m.mu.Lock()
		d, view, ok := m.takeLocked(mark)
		changed := m.changed
		m.mu.Unlock()
		if ok {
			if view != nil {
				sum := view.SHA256()
				view.Close()
				d.SHA256 = hex.EncodeToString(sum[:])
			}
			return d, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return Digest{}, ctx.Err()
		}
	}
}

// takeLocked finds a mark; the view goes to the caller.
func (m *Marks) takeLocked(mark []byte) (Digest, View, bool) {
	for _, n := range m.noted {
		if bytes.Equal(n.mark, mark) {
			view := n.view
			if view != nil {
				n.expire.Stop()
				n.view = nil
			}
			return n.digest, view, true
		}
	}
	return Digest{}, nil, false
}
