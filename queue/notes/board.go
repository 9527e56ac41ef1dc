package notes

import (
	"cmp"
	"context"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"quorumta/internal/mail"
	"quorumta/queue/call"
	"quorumta/queue/event"
	"quorumta/queue/lane"
	"quorumta/queue/state"
	"quorumta/queue/state/notes"
)

// Note is a note.
type Note = notes.Note

// Options says what a board works with; every field is needed. The functions
// are called from many goroutines.
type Options struct {
	// Shards lists the shards, ascending; Led reports whether this node leads
	// one, Leader names who does, Others the other members.
	Shards func() []uint16
	Led    func(shard uint16) bool
	Leader func(shard uint16) string
	Others func() []string
	Call   call.Func
	// Propose has a group decided by the shard's leader; it tries once. Draw
	// draws an id of the shard.
	Propose func(ctx context.Context, shard uint16, g event.Group) lane.Verdict
	Draw    func(shard uint16) mail.MessageID
	// View gives f this node's replica; it fails where there is none.
	View func(shard uint16, f func(state.Reader)) error
	// Known fails where not all members know the events of a group.
	Known func(event.Group) error
	// Trusted reports whether Now, the wall clock, may end notes.
	Trusted func() bool
	Now     func() time.Time
}

// Board is all notes, as a node knows them. Its methods are safe for concurrent
// use.
type Board struct {
	o    Options
	stir chan struct{} // sent to when something is to be read

	mu sync.Mutex
	// sheets are the shards' notes; own are those of this node that are not
	// known to be on record.
	sheets  map[uint16]*sheet
	own     map[string]*own
	changed chan struct{} // closed by each change
}

// sheet is the notes of a shard.
type sheet struct {
	notes map[string]Note
	// read: the shard was read. Until then, and while it is watched for an answer
	// that may be older, touched are the keys that have been folded.
	read    bool
	watched int
	touched map[string]bool
	// sure: what was read, or asked for, is what the leader knew.
	sure bool
}

// own is a note of this node, or the end of one.
type own struct {
	Note
	ends bool
	// busy: it is being recorded; recorded is when it was, before this node has
	// seen it folded.
	busy     bool
	recorded time.Time
}

// New makes an empty board.
func New(o Options) *Board {
	return &Board{
		o: o, stir: make(chan struct{}, 1), sheets: map[uint16]*sheet{}, own: map[string]*own{},
		changed: make(chan struct{}),
	}
}

// List lists the notes whose keys begin with the prefix and that have not
// ended, by key.
func (b *Board) List(prefix string) []Note {
	b.mu.Lock()
	defer b.mu.Unlock()
	found := map[string]Note{}
	for _, s := range b.sheets {
		for key, n := range s.notes {
			if strings.HasPrefix(key, prefix) && (found[key].Key == "" || n.At.After(found[key].At)) {
				found[key] = n
			}
		}
	}
	now := b.o.Now()
	for key, o := range b.own {
		if strings.HasPrefix(key, prefix) {
			found[key] = o.Note
		}
	}
	maps.DeleteFunc(found, func(key string, n Note) bool {
		return n.Ended(now) || b.own[key] != nil && b.own[key].ends
	})
	return slices.SortedFunc(maps.Values(found), func(a, b Note) int { return cmp.Compare(a.Key, b.Key) })
}

// Get is the note under the key, if it has not ended.
func (b *Board) Get(key string) (Note, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, ok := b.recordedLocked(key)
	if o := b.own[key]; o != nil {
		n, ok = o.Note, !o.ends
	}
	return n, ok && !n.Ended(b.o.Now())
}

// recordedLocked is the newest that is on record under the key.
func (b *Board) recordedLocked(key string) (newest Note, ok bool) {
	for _, s := range b.sheets {
		if n, here := s.notes[key]; here && (!ok || n.At.After(newest.At)) {
			newest, ok = n, true
		}
	}
	return newest, ok
}

// Changed returns a channel that is closed when notes have changed since the
// call. That time ends one is no change.
func (b *Board) Changed() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.changed
}

func (b *Board) changeLocked() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// Known reports whether all notes are known that were on record when this node
// started.
func (b *Board) Known() bool {
	shards := b.o.Shards()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, id := range shards {
		if s := b.sheets[id]; s == nil || !s.sure {
			return false
		}
	}
	return len(shards) > 0
}

// Fold takes over what this node's replica of a shard has just applied.
func (b *Board) Fold(shard uint16, at time.Time, e event.Event) {
	var n Note
	ends := false
	switch e := e.(type) {
	case *event.Noted:
		n = Note{Key: e.Key, Value: e.Value, At: at, Until: e.Until, By: e.By, Why: e.Why}
	case *event.Unnoted:
		n, ends = Note{Key: e.Key}, true
	default:
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.sheetLocked(shard)
	if !s.read || s.watched > 0 {
		s.touched[n.Key] = true
	}
	if ends {
		delete(s.notes, n.Key)
	} else {
		s.notes[n.Key] = n
	}
	if o := b.own[n.Key]; o != nil && o.says(&n, ends) {
		delete(b.own, n.Key)
	}
	b.changeLocked()
}

// says reports whether the own note says the same.
func (o *own) says(n *Note, ends bool) bool {
	return o.ends == ends && o.Value == n.Value && (ends || o.Until.Equal(n.Until))
}

func (b *Board) sheetLocked(shard uint16) *sheet {
	s := b.sheets[shard]
	if s == nil {
		s = &sheet{notes: map[string]Note{}, touched: map[string]bool{}}
		b.sheets[shard] = s
	}
	return s
}

// Forget says that a shard's notes have to be read again: a snapshot has
// replaced them, or this node has no replica any more.
func (b *Board) Forget(shard uint16) {
	b.mu.Lock()
	if s := b.sheets[shard]; s != nil {
		s.read, s.touched = false, map[string]bool{}
	}
	b.mu.Unlock()
	select {
	case b.stir <- struct{}{}:
	default:
	}
}

// watch begins to note which keys are folded, until the function that it returns
// is called: what is read or asked for meanwhile is not newer than these.
func (b *Board) watch(shard uint16) (end func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.sheetLocked(shard)
	s.watched++
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		s.watched--
		s.tidyLocked()
	}
}

func (s *sheet) tidyLocked() {
	if s.read && s.watched == 0 {
		clear(s.touched)
	}
}

// take replaces a shard's notes by what was read, but for those that were
// folded meanwhile.
func (b *Board) take(shard uint16, read map[string]Note) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.sheetLocked(shard)
	for key := range s.touched {
		delete(read, key)
		if n, ok := s.notes[key]; ok {
			read[key] = n
		}
	}
	same := maps.Equal(s.notes, read)
	s.notes, s.read = read, true
	s.tidyLocked()
	if !same {
		b.changeLocked()
	}
}

// home is the shard of a key: the one that its hash with the key is highest of,
// so that few keys move when shards come or go.
func home(shards []uint16, key string) (shard uint16, ok bool) {
	var most uint64
	for _, id := range shards {
		h := fnv.New64a()
		_, _ = h.Write([]byte{byte(id >> 8), byte(id)})
		_, _ = h.Write([]byte(key))
		if sum := mix(h.Sum64()); !ok || sum > most {
			shard, most, ok = id, sum, true
		}
	}
	return shard, ok
}

// mix spreads what FNV leaves in the lower bits (the finalizer of MurmurHash3).
func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
