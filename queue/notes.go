package queue

import (
	"context"
	"time"

	"quorumta/queue/notes"
)

// Note is a small fact for all nodes, with an end.
type Note = notes.Note

// Why a note is not on record; see package notes.
var (
	ErrNoteHere    = notes.ErrHere
	ErrNoteNoRoom  = notes.ErrNoRoom
	ErrNoteTooLong = notes.ErrTooLong
)

func (q *Queue) newNotes() *notes.Board {
	return notes.New(notes.Options{
		Shards:  q.node.Shards,
		Led:     func(shard uint16) bool { return q.desk.office(shard) != nil },
		Leader:  q.way.Leader,
		Others:  q.others,
		Call:    q.way.Call,
		Propose: q.propose,
		Draw:    q.draw,
		View:    q.view,
		Known:   q.mayPropose,
		Trusted: q.ClockTrusted,
		Now:     q.now,
	})
}

// Note writes a note, in place of any under its key, until a time; the zero time:
// until it is ended. It waits until the note is on record, for ten seconds at
// most. Where it fails with ErrNoteHere or ErrTooNew, the note counts at this
// node, which goes on trying; with another error it does not count.
func (q *Queue) Note(ctx context.Context, key, value string, until time.Time) error {
	return q.notes.Put(ctx, Note{Key: key, Value: value, Until: until})
}

// NoteBy is Note for what somebody ordered, who stands in the note as By, with
// Why: it enters the history.
func (q *Queue) NoteBy(ctx context.Context, n Note) error { return q.notes.Put(ctx, n) }

// Unnote ends a note, as Note writes one. With by it enters the history.
func (q *Queue) Unnote(ctx context.Context, key, by, why string) error {
	return q.notes.Remove(ctx, key, by, why)
}

// Notes lists the notes whose keys begin with the prefix, by key, as this node
// knows them. It asks nobody.
func (q *Queue) Notes(prefix string) []Note { return q.notes.List(prefix) }

// EachNote calls f for what Notes lists.
func (q *Queue) EachNote(prefix string, f func(key, value string, until time.Time)) {
	for _, n := range q.notes.List(prefix) {
		f(n.Key, n.Value, n.Until)
	}
}

// Noted is the note under the key. It asks nobody.
func (q *Queue) Noted(key string) (Note, bool) { return q.notes.Get(key) }

// NotesChanged returns a channel that is closed when notes have changed since
// the call; that time ends one is no change.
func (q *Queue) NotesChanged() <-chan struct{} { return q.notes.Changed() }

// NotesKnown reports whether this node knows all notes that were on record when it
// started, from the leaders of their homes.
func (q *Queue) NotesKnown() bool { return q.notes.Known() }
