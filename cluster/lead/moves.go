package lead

import (
	"slices"
	"sync"
	"time"
)

// newsFor is how long a member that was given a lead may not have said so.
const newsFor = 2 * time.Second

// moves remembers when leads were put somewhere, and where they went from here.
type moves struct {
	mu       sync.Mutex // guards the rest; not held during a move
	last     map[uint16]time.Time
	given    map[uint16]gift
	underWay map[uint16]bool
}

// gift is a lead that was handed over.
type gift struct {
	to string
	at time.Time
}

func newMoves() *moves {
	return &moves{last: map[uint16]time.Time{}, given: map[uint16]gift{}, underWay: map[uint16]bool{}}
}

// begin reports whether the shard's lead is not being moved already.
func (m *moves) begin(shard uint16) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.underWay[shard] {
		return false
	}
	m.underWay[shard] = true
	return true
}

// note notes that the shard's lead is put somewhere, from here or to here.
func (m *moves) note(shard uint16) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last[shard] = time.Now()
}

func (m *moves) end(shard uint16) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.underWay, shard)
}

// lately reports whether the shard's lead was moved within the duration.
func (m *moves) lately(shard uint16, d time.Duration) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	last, moved := m.last[shard]
	return moved && time.Since(last) < d
}

// gave notes that the member has the shard's lead now.
func (m *moves) gave(shard uint16, to string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.given[shard] = gift{to, time.Now()}
}

// with is how many leads a member has that has reported these: what it was given
// since may not be among them.
func (m *moves) with(name string, reported []uint16) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	leads := len(reported)
	for shard, g := range m.given {
		if g.to == name && time.Since(g.at) < newsFor && !slices.Contains(reported, shard) {
			leads++
		}
	}
	return leads
}
