// Package skip folds what must not be folded: an entry that makes the fold
// panic, and that the operators have decided to pass over (PROTOCOL 22).
package skip

import (
	"fmt"
	"slices"
	"time"

	"quorumta/internal/mail"
	"quorumta/queue/event"
	"quorumta/queue/state"
)

const idLength = 20

// Entry folds an entry that must not be applied, because applying it panics:
// its groups are refused as state.Malformed, and the open messages of the shard
// that it names are held. It returns what was recorded about those. It is total
// over any bytes and any state: a message whose own rows cannot be read stays
// as it is. Like state.Fold it is a function of its arguments alone.
//
// Of an entry that cannot be decoded, whatever looks like an id of the shard is
// taken for one.
func Entry(r state.Reader, w state.Writer, shard uint16, index, term uint64, entry []byte) ([]event.Group, []state.Result) {
	var results []state.Result
	var ids []mail.MessageID
	if e, err := event.Decode(entry); err == nil {
		for _, g := range e.Groups {
			results = append(results, state.Malformed)
			ids = append(ids, named(g)...)
		}
	} else {
		ids = resembling(entry, shard)
	}
	slices.Sort(ids)
	s := skipping{r: r, w: w, index: index, term: term}
	if !s.try(func() { s.at = state.LastTime(r) }) || s.at.IsZero() {
		return nil, results // there is nothing, or nothing that can be changed
	}
	var held []event.Group
	for _, id := range slices.Compact(ids) {
		if g, ok := s.hold(id); ok {
			held = append(held, g)
		}
	}
	return held, results
}

// named are the messages that a group is about.
func named(g event.Group) []mail.MessageID {
	ids := []mail.MessageID{g.ID}
	for _, ev := range g.Events {
		if a, ok := ev.(*event.Accepted); ok {
			ids = append(ids, a.ID)
		}
	}
	return ids
}

// resembling are the canonical ids of the shard's messages among the bytes.
func resembling(b []byte, shard uint16) []mail.MessageID {
	var ids []mail.MessageID
	for i := range max(len(b)-idLength+1, 0) {
		text := string(b[i : i+idLength])
		if id, err := mail.ParseMessageID(text); err == nil && string(id) == text && id.Shard() == shard {
			ids = append(ids, id)
		}
	}
	return ids
}

// skipping is the skipping of one entry.
type skipping struct {
	r           state.Reader
	w           state.Writer
	index, term uint64
	at          time.Time
}

// try reports whether f came to its end.
func (s *skipping) try(f func()) (ended bool) {
	defer func() { _ = recover() }()
	f()
	return true
}

// hold holds a message, if it is open and not held. What it writes reaches the
// state only if all of it could be decided.
func (s *skipping) hold(id mail.MessageID) (event.Group, bool) {
	why := fmt.Sprintf("entry %d of the log, which names it, was skipped", s.index)
	g := event.Group{ID: id, At: s.at, Events: []event.Event{&event.Held{By: "quorumta", Why: why}}}
	var late staged
	applied := false
	ended := s.try(func() {
		e := event.Entry{Term: s.term, Groups: []event.Group{g}}
		applied = state.Fold(s.r, &late, s.index, s.term, e)[0] == state.Applied
	})
	if !ended || !applied {
		return g, false
	}
	for _, write := range late {
		write(s.w)
	}
	return g, true
}

// staged are writes that wait.
type staged []func(state.Writer)

// Set implements state.Writer.
func (s *staged) Set(key, value []byte) { *s = append(*s, func(w state.Writer) { w.Set(key, value) }) }

// Delete implements state.Writer.
func (s *staged) Delete(key []byte) { *s = append(*s, func(w state.Writer) { w.Delete(key) }) }

// DeleteRange implements state.Writer.
func (s *staged) DeleteRange(lo, hi []byte) {
	*s = append(*s, func(w state.Writer) { w.DeleteRange(lo, hi) })
}
