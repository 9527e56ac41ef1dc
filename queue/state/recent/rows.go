package recent

import "sync"

const (
	// usual is Rows.Most where it is not set.
	usual = 2 << 20
	// overhead is about what a row takes beside its key and value.
	overhead = 64
)

// Rows are the remembered rows of one shard. Entry is called by the goroutine
// that folds, Recall by any. Its zero value knows nothing.
type Rows struct {
	// Most bounds a generation of rows, of which there are two, in bytes; 0 means
	// 2 MiB.
	Most int

	// entry is the one that is being folded; it belongs to the goroutine that
	// folds.
	entry Entry

	// mu guards what follows. The goroutine that folds writes it alone, and
	// reads it without mu.
	mu         sync.RWMutex
	last       uint64 // the newest entry; 0: nothing is known
	young, old map[string][]byte
	size       int // of young
	floors     map[string]string
	notes      map[string]note
}

// note is what a row says, which begins at first.
type note struct {
	first *byte
	says  any
}

// Entry begins the fold of the entry at index, on the state as it was before;
// it ends with End. contents says that content is going to be asked for.
func (s *Rows) Entry(index uint64, r Reader, w Writer, contents bool) *Entry {
	if s.young == nil || index != s.last+1 {
		s.Forget()
	}
	e := &s.entry
	clear(e.written)
	*e = Entry{rows: s, index: index, r: r, w: w, written: e.written, misses: e.misses, longest: row}
	if contents {
		e.longest = content
	}
	if e.written == nil {
		e.written = map[string]change{}
	}
	return e
}

// Forget forgets everything: the state is changed by somebody else.
func (s *Rows) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last, s.size = 0, 0
	s.young, s.old, s.floors = map[string][]byte{}, nil, map[string]string{}
	s.notes = map[string]note{}
}

// Recall gives the rows under the keys as they were together at one moment, nil
// where there is none. It reports whether all of them are known. Nobody may
// change the rows.
func (s *Rows) Recall(keys ...[]byte) (rows [][]byte, ok bool) {
	rows = make([][]byte, len(keys))
	s.mu.RLock()
	defer s.mu.RUnlock()
	for i, key := range keys {
		if rows[i], ok = s.lookUp(key); !ok {
			return nil, false
		}
	}
	return rows, true
}

// Note keeps what a row that Recall gave says, for as long as it is remembered.
func (s *Rows) Note(key, row []byte, says any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now, _ := s.lookUp(key); len(row) > 0 && len(now) > 0 && &now[0] == &row[0] {
		s.notes[string(key)] = note{&row[0], says}
	}
}

// Noted gives what was noted about the row, or nil.
func (s *Rows) Noted(key, row []byte) any {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if n, ok := s.notes[string(key)]; ok && len(row) > 0 && n.first == &row[0] {
		return n.says
	}
	return nil
}

// lookUp gives the row under the key, nil if there is none. It reports whether
// that is known.
func (s *Rows) lookUp(key []byte) ([]byte, bool) {
	if row, ok := s.young[string(key)]; ok {
		return row, true
	}
	if row, ok := s.old[string(key)]; ok {
		return row, true
	}
	floor, ok := s.floors[string(prefix(key))]
	return nil, ok && string(key) >= floor
}

// idLength is how long the end of a key is that sorts by time: package state's
// keys end in a message's id where the fold asks for what may not be there.
const idLength = 20

// prefix is what comes before the id.
func prefix(key []byte) []byte { return key[:max(len(key)-idLength, 0)] }

// keepLocked remembers a row; nil: it does not, any more.
func (s *Rows) keepLocked(key string, row []byte) {
	if before, ok := s.young[key]; ok {
		s.size -= len(key) + len(before) + overhead
	}
	delete(s.notes, key)
	if row == nil {
		delete(s.young, key)
		delete(s.old, key)
		return
	}
	s.young[key] = row
	s.size += len(key) + len(row) + overhead
}

// ageLocked drops the older generation when the younger one is full.
func (s *Rows) ageLocked() {
	if s.size < s.Most || s.Most == 0 && s.size < usual {
		return
	}
	for key := range s.old { // in no order: each raises, none lowers
		if _, ok := s.young[key]; !ok {
			s.raiseLocked(key)
			delete(s.notes, key)
		}
	}
	s.young, s.old, s.size = map[string][]byte{}, s.young, 0
}

// raiseLocked raises the floor of the key's prefix above the key, if there is
// one: the row may be there, and is not remembered.
func (s *Rows) raiseLocked(key string) {
	p := key[:max(len(key)-idLength, 0)]
	if floor, ok := s.floors[p]; ok && key >= floor {
		s.floors[p] = key + "\x00"
	}
}
