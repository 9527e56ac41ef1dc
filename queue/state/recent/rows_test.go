package recent

import (
	"bytes"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"quorumta/queue/state/memory"
)

// keyOf is a key of the n-th thing that sorts by time.
func keyOf(prefix string, n int) []byte { return fmt.Appendf(nil, "%s%020d", prefix, n) }

// Whatever is folded, given up or restored, what is read is what is there.
func TestReadsAreThoseOfTheStore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := &Rows{Most: rapid.IntRange(1, 3000).Draw(t, "most")}
		store := &memory.Rows{}
		key := rapid.Custom(func(t *rapid.T) []byte {
			return keyOf(rapid.SampledFrom([]string{"s", "x1", "x2"}).Draw(t, "prefix"), rapid.IntRange(1, 12).Draw(t, "n"))
		})
		for index := uint64(1); index < 40; index++ {
			before := store.Clone()
			e := rows.Entry(index, store, store, rapid.Bool().Draw(t, "contents"))
			for range rapid.IntRange(0, 6).Draw(t, "steps") {
				fold(t, e, store, key.Draw(t, "key"))
			}
			switch rapid.IntRange(0, 15).Draw(t, "end") {
			case 0: // given up, and folded again
				*store = *before
				index--
				continue
			case 1: // restored at a later entry
				e.End()
				store.Set(keyOf("s", 5), []byte("restored"))
				store.Delete(keyOf("x1", 3))
				index++
				continue
			}
			e.End()
			check(t, rows, store)
		}
	})
}

// fold does something to a row, and reads one.
func fold(t *rapid.T, e *Entry, store *memory.Rows, key []byte) {
	size := rapid.SampledFrom([]int{0, 1, 200, row, row + 1}).Draw(t, "size")
	switch rapid.IntRange(0, 12).Draw(t, "what") {
	case 0:
		e.DeleteRange(keyOf("x1", 0), keyOf("x2", 0))
	case 1, 2, 3:
		e.Delete(key)
	case 4, 5, 6, 7, 8:
		e.Set(key, bytes.Repeat([]byte{'v'}, size))
	}
	got, ok := e.Get(key)
	if want, there := store.Get(key); ok != there || !bytes.Equal(got, want) {
		t.Fatalf("%s is %q, %v, read as %q, %v", key, want, there, got, ok)
	}
}

// check compares all that is remembered with the store.
func check(t *rapid.T, rows *Rows, store *memory.Rows) {
	for _, prefix := range []string{"s", "x1", "x2"} {
		for n := range 14 {
			k := keyOf(prefix, n)
			known, ok := rows.Recall(k)
			if want, _ := store.Get(k); ok && !bytes.Equal(known[0], want) {
				t.Fatalf("%s is %q, remembered as %q", k, want, known[0])
			}
		}
	}
}

// asked counts what a store is asked.
type asked struct {
	memory.Rows
	gets int
}

func (a *asked) Get(key []byte) ([]byte, bool) {
	a.gets++
	return a.Rows.Get(key)
}

// The life of a message whose id is new costs no read of the store.
func TestWhatIsNewIsNotAskedFor(t *testing.T) {
	rows, store := &Rows{}, &asked{}
	for n := range 1000 {
		e := rows.Entry(uint64(n+1), store, store, true)
		if n == 100 {
			store.gets = 0
		}
		for _, prefix := range []string{"m", "x-01"} {
			if _, ok := e.Get(keyOf(prefix, n)); ok {
				t.Fatal("there is something that was never written")
			}
		}
		e.Set(keyOf("m", n), bytes.Repeat([]byte{1}, 10_000))
		e.Get(keyOf("m", n))
		e.End()
		if known, ok := rows.Recall(keyOf("m", n)); !ok || len(known[0]) != 10_000 {
			t.Fatal("what was just written is not remembered")
		}
	}
	if store.gets > 0 {
		t.Errorf("the store was asked %d times", store.gets)
	}
	if size := rows.size; size > 2*usual {
		t.Errorf("%d bytes are remembered", size)
	}
}

// A note lasts as long as its row.
func TestNotesGoWithTheirRows(t *testing.T) {
	rows, store := &Rows{Most: 4096}, &memory.Rows{}
	index := uint64(0)
	set := func(n int, value string) {
		index++
		e := rows.Entry(index, store, store, false)
		e.Set(keyOf("s", n), []byte(value))
		e.End()
	}
	set(1, "one")
	known, _ := rows.Recall(keyOf("s", 1))
	rows.Note(keyOf("s", 1), known[0], "said")
	if rows.Noted(keyOf("s", 1), known[0]) != "said" {
		t.Fatal("a note is lost")
	}
	set(1, "one")
	again, _ := rows.Recall(keyOf("s", 1))
	if rows.Noted(keyOf("s", 1), known[0]) != nil || rows.Noted(keyOf("s", 1), again[0]) != nil {
		t.Error("a note outlives its row")
	}
	rows.Note(keyOf("s", 1), known[0], "late")
	if len(rows.notes) != 0 {
		t.Error("a row that has changed is noted")
	}
	rows.Note(keyOf("s", 1), again[0], "said")
	for n := range 100 {
		set(n+2, string(make([]byte, 200)))
	}
	if len(rows.notes) != 0 {
		t.Error("a note outlives the generation of its row")
	}
}
