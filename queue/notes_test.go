package queue_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"quorumta/queue"
	"quorumta/queue/state"
	"quorumta/queue/state/notes"
)

// known lists the keys that a node knows.
func known(m *member) []string {
	var keys []string
	for _, n := range m.queue.Notes("") {
		keys = append(keys, n.Key)
	}
	return keys
}

// Notes are known on every node, outlive the leaders of their homes, end by
// themselves, and are history where somebody ordered them.
func TestNotesOutliveLeaders(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		keys := []string{"a", "b", "c", "d", "e", "f"} // at all three shards
		for i, key := range keys {
			err := w.nodes[w.names[i%3]].queue.NoteBy(t.Context(),
				queue.Note{Key: key, Value: "v" + key, Until: time.Now().Add(10 * time.Second), By: "op", Why: "test"})
			if err != nil {
				t.Fatal(err)
			}
		}
		everywhere := func(want []string) func() bool {
			return func() bool {
				return !slices.ContainsFunc(w.running(), func(name string) bool { return !slices.Equal(known(w.nodes[name]), want) })
			}
		}
		w.within(time.Second, "all know all", everywhere(keys))
		_, first := w.office(1)
		w.kill(first.name)
		m := w.nodes[w.running()[0]]
		for shard := range uint16(3) {
			w.office(shard+1, first.name)
		}
		if n, ok := m.queue.Noted("c"); !ok || n.Value != "vc" || n.By != "op" || n.Why != "test" {
			t.Errorf("%+v, %v", n, ok)
		}
		changed := m.queue.NotesChanged()
		other := w.nodes[w.running()[1]]
		if err := other.queue.Note(t.Context(), "b", "learnt", time.Now().Add(20*time.Second)); err != nil {
			t.Fatal(err)
		}
		for _, key := range keys[2:] {
			if err := other.queue.Unnote(t.Context(), key, "op", "over"); err != nil {
				t.Fatal(err)
			}
		}
		w.within(time.Second, "what is left is known", everywhere([]string{"a", "b"}))
		select {
		case <-changed:
		default:
			t.Error("nobody was told of the change")
		}
		time.Sleep(10 * time.Second) // of virtual time
		if !everywhere([]string{"b"})() {
			t.Errorf("%v and %v", known(m), known(other))
		}
		time.Sleep(10 * time.Second)
		if !everywhere(nil)() {
			t.Errorf("%v and %v", known(m), known(other))
		}
		w.within(30*time.Second, "their end is on record", func() bool {
			empty := true
			for shard := range uint16(3) {
				v, done, err := m.node.View(shard + 1)
				if err != nil {
					t.Fatal(err)
				}
				empty = empty && notes.Empty(v)
				done()
			}
			return empty
		})
		var history []string
		if err := m.queue.Events(t.Context(), "", false, func(r state.Record) bool {
			history = append(history, r.Event.Kind().String())
			return true
		}); err != nil {
			t.Fatal(err)
		}
		slices.Sort(history)
		want := slices.Concat(slices.Repeat([]string{"noted"}, 6), slices.Repeat([]string{"unnoted"}, 4))
		if !slices.Equal(history, want) {
			t.Errorf("history %v", history)
		}
	})
}

// Where the home of a note does not answer, the note counts at the node that
// wrote it, which records it when the home is back.
func TestANoteWaitsForItsHome(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		if err := w.nodes["n1"].queue.Note(t.Context(), "old", "x", time.Time{}); err != nil {
			t.Fatal(err)
		}
		w.net.Cut("n1", "n2")
		w.net.Cut("n1", "n3")
		time.Sleep(5 * time.Second) // of virtual time: the others lead
		m := w.nodes["n1"]
		if err := m.queue.Note(t.Context(), "new", "y", time.Now().Add(time.Hour)); !errors.Is(err, queue.ErrNoteHere) {
			t.Errorf("err = %v", err)
		}
		if err := m.queue.Unnote(t.Context(), "old", "op", ""); !errors.Is(err, queue.ErrNoteHere) {
			t.Errorf("err = %v", err)
		}
		if got := known(m); !slices.Equal(got, []string{"new"}) {
			t.Errorf("the node that was cut off knows %v", got)
		}
		if got := known(w.nodes["n2"]); !slices.Equal(got, []string{"old"}) {
			t.Errorf("the others know %v", got)
		}
		w.net.Heal()
		w.within(20*time.Second, "all know", func() bool {
			return slices.Equal(known(w.nodes["n2"]), []string{"new"}) && slices.Equal(known(w.nodes["n3"]), []string{"new"})
		})
	})
}

// A node that has no replica of a note's home knows it by asking.
func TestNotesAreKnownWithoutAReplica(t *testing.T) {
	inWorldOf(t, []string{"n1", "n2", "n3", "n4", "n5"}, func(t *testing.T, w *world) {
		for _, key := range []string{"a", "b", "c"} {
			if err := w.nodes["n4"].queue.Note(t.Context(), key, "\xff", time.Now().Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
		}
		for _, name := range w.names {
			w.within(3*time.Second, name+" knows", func() bool {
				n, ok := w.nodes[name].queue.Noted("b")
				return ok && n.Value == "\xff" && len(known(w.nodes[name])) == 3
			})
		}
		if err := w.nodes["n5"].queue.Unnote(t.Context(), "b", "", ""); err != nil {
			t.Fatal(err)
		}
		for _, name := range w.names {
			w.within(3*time.Second, name+" knows the end", func() bool { return len(known(w.nodes[name])) == 2 })
		}
	})
}
