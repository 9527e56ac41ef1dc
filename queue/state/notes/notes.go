// Package notes folds small facts with an end: what is known under a key, until
// when, and who said so. It is pure, and knows nothing of what keys mean.
//
// A shard holds at most MaxNotes of them, of MaxBytes together; those limits,
// like all that follows here, are the same on every replica, for ever.
package notes

import (
	"fmt"
	"time"

	"quorumta/queue/event"
	"quorumta/queue/event/codec"
	"quorumta/queue/state/keys"
	"quorumta/queue/state/verdict"
)

// The limits of a shard.
const (
	MaxNotes = 20_000
	MaxBytes = 8 << 20
)

// Reader and Writer are package state's, as far as notes need them.
type (
	Reader interface {
		Get(key []byte) (value []byte, ok bool)
		Scan(lo, hi []byte, f func(key, value []byte) bool)
	}
	Writer interface {
		Set(key, value []byte)
		Delete(key []byte)
	}
)

// Note is a note.
type Note struct {
	Key, Value string
	// At is when it was written, Until when it ends; zero: never.
	At, Until time.Time
	// By and Why say who ordered it; "" if nobody did.
	By, Why string
}

// Ended reports whether the note's time is over.
func (n *Note) Ended(now time.Time) bool { return !n.Until.IsZero() && !now.Before(n.Until) }

func describe(f *codec.Fields, n *Note) {
	codec.String(f, 1, &n.Value)
	f.Time(2, &n.At)
	f.Time(3, &n.Until)
	codec.String(f, 4, &n.By)
	codec.String(f, 5, &n.Why)
}

// sum is the row about all notes.
type sum struct{ count, bytes uint64 }

func describeSum(f *codec.Fields, s *sum) {
	f.Uint64(1, &s.count)
	f.Uint64(2, &s.bytes)
}

func (s *sum) add(n *Note) { s.count, s.bytes = s.count+1, s.bytes+n.size() }

func (s *sum) subtract(n *Note) { s.count, s.bytes = s.count-1, s.bytes-n.size() }

// size is what a note counts for.
func (n *Note) size() uint64 { return uint64(len(n.Key) + len(n.Value) + len(n.By) + len(n.Why)) }

// Fold folds a Noted or an Unnoted; ordered: somebody wanted it, and it belongs
// into the history.
func Fold(r Reader, w Writer, e event.Event, at time.Time) (result verdict.Result, ordered bool) {
	switch e := e.(type) {
	case *event.Noted:
		return put(r, w, Note{Key: e.Key, Value: e.Value, At: at, Until: e.Until, By: e.By, Why: e.Why}), e.By != ""
	case *event.Unnoted:
		return remove(r, w, e, at), e.By != ""
	}
	return verdict.Malformed, false
}

func put(r Reader, w Writer, n Note) verdict.Result {
	long := len(n.Key) > event.MaxNoteKey || len(n.Value) > event.MaxNoteValue || len(n.By)+len(n.Why) > event.MaxNoteValue
	if n.Key == "" || long {
		return verdict.Malformed
	}
	s := total(r)
	if old, ok := Get(r, n.Key); ok {
		s.subtract(&old)
	}
	s.add(&n)
	if s.count > MaxNotes || s.bytes > MaxBytes {
		return verdict.Full
	}
	w.Set(key(n.Key), codec.Append(nil, &n, describe))
	w.Set(key(""), codec.Append(nil, &s, describeSum))
	return verdict.Applied
}

// remove ends a note. One that time has ended, and that was renewed before that
// was recorded, stays.
func remove(r Reader, w Writer, e *event.Unnoted, at time.Time) verdict.Result {
	n, ok := Get(r, e.Key)
	switch {
	case e.Key == "":
		return verdict.Malformed
	case !ok, !e.Until.IsZero() && (!n.Until.Equal(e.Until) || !n.Ended(at)):
		return verdict.Stale
	}
	s := total(r)
	s.subtract(&n)
	w.Delete(key(n.Key))
	if s == (sum{}) {
		w.Delete(key(""))
		return verdict.Applied
	}
	w.Set(key(""), codec.Append(nil, &s, describeSum))
	return verdict.Applied
}

// Get reads a note.
func Get(r Reader, name string) (Note, bool) {
	k := key(name)
	row, ok := r.Get(k)
	if !ok || name == "" {
		return Note{}, false
	}
	return parse(k, row), true
}

// Each calls f for all notes whose keys begin with the prefix, by key.
func Each(r Reader, prefix string, f func(Note) bool) {
	lo := key(prefix)
	if prefix == "" {
		lo = keys.After(lo)
	}
	r.Scan(lo, []byte{keys.Note + 1}, func(k, row []byte) bool {
		if len(k) < len(lo) || string(k[1:1+len(prefix)]) != prefix {
			return false
		}
		return f(parse(k, row))
	})
}

// Empty reports whether there are none.
func Empty(r Reader) bool {
	_, ok := r.Get(key(""))
	return !ok
}

func total(r Reader) sum {
	var s sum
	if row, ok := r.Get(key("")); ok {
		mustRead(key(""), codec.Decode(row, &s, describeSum))
	}
	return s
}

func key(name string) []byte { return append([]byte{keys.Note}, name...) }

func parse(k, row []byte) Note {
	n := Note{Key: string(k[1:])}
	mustRead(k, codec.Decode(row, &n, describe))
	return n
}

func mustRead(key []byte, err error) {
	if err != nil {
		panic(fmt.Sprintf("state: row %q cannot be read: %v", key, err))
	}
}
