package lead

import (
	"sync"
	"time"
)

// moves remembers when leads were moved away.
type moves struct {
	mu       sync.Mutex // guards the rest; not held during a move
	last     map[uint16]time.Time
	underWay map[uint16]bool
}

func newMoves() *moves {
	return &moves{last: map[uint16]time.Time{}, underWay: map[uint16]bool{}}
}

// begin reports whether the shard's lead is not being moved already.
func (m *moves) begin(shard uint16) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.underWay[shard] {
		return false
	}
	m.underWay[shard], m.last[shard] = true, time.Now()
	return true
}

// note notes that another node moves the shard's lead here.
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
