package raftlog

import "github.com/hashicorp/raft"

// recent keeps the newest entries decoded, without a gap: replication to
// followers that keep up and apply read from it. It is not safe for concurrent use.
type recent struct {
	entries []raft.Log
	bytes   int64
}

// Add appends the entries that were stored, then lets the oldest go until no
// more than limit bytes are kept.
func (r *recent) Add(logs []*raft.Log, limit int64) {
	if n := len(r.entries); n > 0 && r.entries[n-1].Index+1 != logs[0].Index {
		r.Clear()
	}
	for _, l := range logs {
		r.entries = append(r.entries, *l)
		r.bytes += int64(sizeOf(l))
	}
	for r.bytes > limit && len(r.entries) > 0 {
		r.drop()
	}
}

// Get is the entry of the index if it is kept.
func (r *recent) Get(index uint64) (raft.Log, bool) {
	if len(r.entries) == 0 || index < r.entries[0].Index {
		return raft.Log{}, false
	}
	at := index - r.entries[0].Index
	if at >= uint64(len(r.entries)) {
		return raft.Log{}, false
	}
	return r.entries[at], true
}

// Cut forgets the entries outside [first, last].
func (r *recent) Cut(first, last uint64) {
	for len(r.entries) > 0 && r.entries[0].Index < first {
		r.drop()
	}
	for n := len(r.entries); n > 0 && r.entries[n-1].Index > last; n-- {
		r.bytes -= int64(sizeOf(&r.entries[n-1]))
		r.entries[n-1] = raft.Log{}
		r.entries = r.entries[:n-1]
	}
}

func (r *recent) drop() {
	r.bytes -= int64(sizeOf(&r.entries[0]))
	r.entries[0] = raft.Log{} // what follows in the array must not keep it alive
	r.entries = r.entries[1:]
}

// Clear forgets every entry.
func (r *recent) Clear() { *r = recent{} }
