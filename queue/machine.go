package queue

import (
	"fmt"

	"quorumta/cluster"
	"quorumta/queue/event"
	"quorumta/queue/feed"
	"quorumta/queue/skip"
	"quorumta/queue/state"
	"quorumta/queue/state/recent"
)

// shard is one shard's machine on this node. Beside cluster.Machine it has what
// the cluster calls where it finds it: Skipped instead of Apply for an entry
// that the operators have decided to pass over, Restored when a snapshot has
// replaced the state, Empty to learn whether a shard that is being retired may
// go, and Close when this node's replica has gone.
type shard struct {
	q    *Queue
	id   uint16
	feed feed.Feed[state.Record]
	// recent are the newest rows of the state.
	recent recent.Rows
	// folder folds; it belongs to the goroutine that applies.
	folder state.Folder
}

// Apply implements cluster.Machine.
func (s *shard) Apply(view cluster.View, batch cluster.Batch, e cluster.Entry) []cluster.Result {
	entry, err := event.Decode(e.Data)
	if err != nil {
		panic(fmt.Sprintf("queue: entry %d of shard %d cannot be decoded: %v; "+
			"is a member of this cluster newer than this program?", e.Index, s.id, err))
	}
	rows := s.recent.Entry(e.Index, view, batch, s.q.desk.office(s.id) != nil)
	results := s.folder.Fold(rows, rows, e.Index, e.Term, entry)
	rows.End()
	s.publish(e.Term, entry.Groups, results)
	return outcomes(results)
}

func outcomes(results []state.Result) []cluster.Result {
	out := make([]cluster.Result, len(results))
	for i, r := range results {
		out[i] = cluster.Result(r)
	}
	return out
}

// publish hands the events of the applied groups to those who follow, without
// content: nothing else needs the groups any more.
func (s *shard) publish(term uint64, groups []event.Group, results []state.Result) {
	records := make([]state.Record, 0, len(groups))
	for i, g := range groups {
		if results[i] != state.Applied {
			continue
		}
		for _, ev := range g.Events {
			s.q.notes.Fold(s.id, g.At, ev)
			if r, ok := record(g, term, ev); ok {
				records = append(records, r)
			}
		}
	}
	if len(records) > 0 {
		s.feed.Publish(records)
	}
}

// record is an event as the history has it: of the message it is about, and
// without content. Events about a shard or an upload have no history.
func record(g event.Group, term uint64, ev event.Event) (state.Record, bool) {
	r := state.Record{ID: g.ID, At: g.At, Term: term, Event: ev}
	switch ev := ev.(type) {
	case *event.Accepted:
		ev.Content = nil
		if ev.ID != "" {
			r.ID = ev.ID
		}
	case *event.BodyPart, *event.Renewed, *event.Swept, *event.Pruned, *event.Abandoned, *event.Suspended:
		return r, false
	case *event.Noted:
		return r, ev.By != ""
	case *event.Unnoted:
		return r, ev.By != ""
	}
	return r, g.ID != ""
}

// Lead implements cluster.Machine.
func (s *shard) Lead(term uint64) { s.q.desk.take(s, term) }

// Unlead implements cluster.Machine.
func (s *shard) Unlead() { s.q.desk.leave(s.id) }

// Skipped folds an entry that must not be applied, because applying it panics:
// the messages that it names are held, its groups are refused. It is total
// over any bytes (PROTOCOL 22).
func (s *shard) Skipped(view cluster.View, batch cluster.Batch, e cluster.Entry) []cluster.Result {
	s.recent.Forget()
	held, results := skip.Entry(view, batch, s.id, e.Index, e.Term, e.Data)
	for _, g := range held {
		s.q.o.Log.Error("an entry was skipped; a message that it names is held", "id", g.ID, "shard", s.id, "entry", e.Index)
	}
	applied := make([]state.Result, len(held))
	for i := range applied {
		applied[i] = state.Applied
	}
	s.publish(e.Term, held, applied)
	return outcomes(results)
}

// Restored forgets what the state said that a snapshot has replaced.
func (s *shard) Restored() {
	s.recent.Forget()
	s.q.notes.Forget(s.id)
}

// Empty reports whether nothing is left in the shard: no message, no upload and
// no history.
func (s *shard) Empty(view cluster.View) bool { return state.Empty(view) }

// Close says that this node has no replica of the shard any more. Unlead has
// been called before; those who follow are told.
func (s *shard) Close() {
	s.q.desk.drop(s)
	s.q.notes.Forget(s.id)
	s.feed.Close()
}
