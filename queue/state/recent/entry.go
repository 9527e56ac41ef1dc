package recent

import "bytes"

// Reader and Writer are package state's.
type (
	Reader interface {
		Get(key []byte) (value []byte, ok bool)
		Scan(lo, hi []byte, f func(key, value []byte) bool)
	}
	Writer interface {
		Set(key, value []byte)
		Delete(key []byte)
		DeleteRange(lo, hi []byte)
	}
)

const (
	// row is the longest row that is remembered, and content the longest where
	// content is: the fold does not ask for it.
	row     = 2 << 10
	content = 64 << 10
	// patience is how many rows are found missing in the store until a floor is
	// looked for again, and crowd how many keys may stand above it.
	patience = 16
	crowd    = 256
)

// Entry is the state as the fold of one entry reads and changes it: what it
// writes it reads at once. It belongs to the goroutine that folds.
type Entry struct {
	rows  *Rows
	index uint64
	r     Reader
	w     Writer
	// longest is the longest row to be remembered.
	longest int
	// written are the changes of this entry to what is known, floors those that
	// were found in it.
	written map[string]change
	floors  []string
	// blind: so much was deleted that the store alone can tell.
	blind bool
	// misses counts what was asked for and not found in the store.
	misses int
}

// change is what became of a row.
type change struct {
	// row is what is to be remembered, nil if nothing is.
	row []byte
	// deleted: there is no such row any more.
	deleted bool
}

// Get implements state.Reader. The value must not be changed.
func (e *Entry) Get(key []byte) ([]byte, bool) {
	if e.blind {
		return e.r.Get(key)
	}
	if c, ok := e.written[string(key)]; ok {
		if c.row != nil || c.deleted {
			return c.row, !c.deleted
		}
		return e.r.Get(key)
	}
	if row, ok := e.rows.lookUp(key); ok {
		return row, row != nil
	}
	row, ok := e.r.Get(key)
	if !ok {
		e.missed(key)
	}
	return row, ok
}

// missed looks for a floor of the key's prefix, now and then: a key above which
// there are none but remembered ones.
func (e *Entry) missed(key []byte) {
	e.misses++
	p := prefix(key)
	if len(p) == 0 || e.misses%patience != 1 {
		return
	}
	seen, found := 0, true
	e.r.Scan(key, above(p), func(k, _ []byte) bool {
		seen++
		found = seen <= crowd && e.remembers(k)
		return found
	})
	if found {
		e.floors = append(e.floors, string(key))
	}
}

// remembers reports whether a row that is there will be remembered.
func (e *Entry) remembers(key []byte) bool {
	if c, ok := e.written[string(key)]; ok {
		return c.row != nil
	}
	row, _ := e.rows.lookUp(key)
	return row != nil
}

// above is the least key above all that begin with p; nil if there is none.
func above(p []byte) []byte {
	hi := bytes.Clone(p)
	for i := len(hi) - 1; i >= 0; i-- {
		if hi[i]++; hi[i] != 0 {
			return hi[:i+1]
		}
	}
	return nil
}

// Scan implements state.Reader.
func (e *Entry) Scan(lo, hi []byte, f func(key, value []byte) bool) { e.r.Scan(lo, hi, f) }

// Set implements state.Writer.
func (e *Entry) Set(key, value []byte) {
	e.w.Set(key, value)
	if len(value) > 0 && len(value) <= e.longest {
		e.written[string(key)] = change{row: bytes.Clone(value)}
		return
	}
	// What nothing is known of stays so.
	_, here := e.written[string(key)]
	_, known := e.rows.lookUp(key)
	if here || known || len(e.floors) > 0 {
		e.written[string(key)] = change{}
	}
}

// Delete implements state.Writer.
func (e *Entry) Delete(key []byte) {
	e.w.Delete(key)
	_, here := e.written[string(key)]
	if row, _ := e.rows.lookUp(key); here || row != nil {
		e.written[string(key)] = change{deleted: true}
	}
}

// DeleteRange implements state.Writer. It is rare: everything is forgotten.
func (e *Entry) DeleteRange(lo, hi []byte) {
	e.w.DeleteRange(lo, hi)
	e.blind = true
}

// End has the entry's rows remembered.
func (e *Entry) End() {
	s := e.rows
	if e.blind {
		s.Forget()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = e.index
	if e.blind {
		return
	}
	for _, floor := range e.floors {
		s.floors[floor[:len(floor)-idLength]] = floor
	}
	for key, c := range e.written {
		s.keepLocked(key, c.row)
		if c.row == nil && !c.deleted {
			s.raiseLocked(key)
		}
	}
	s.ageLocked()
}
