package notes

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"quorumta/queue/event"
	"quorumta/queue/state/memory"
	"quorumta/queue/state/verdict"
)

// A shard takes as many notes as its limits allow; one that is replaced or has
// ended makes room.
func TestNotesAreLimited(t *testing.T) {
	var rows memory.Rows
	at := time.UnixMilli(1_700_000_000_000).UTC()
	fold := func(e event.Event) verdict.Result {
		r, _ := Fold(&rows, &rows, e, at)
		return r
	}
	large := strings.Repeat("x", event.MaxNoteValue)
	n := 0
	for fold(&event.Noted{Key: fmt.Sprintf("large/%03d", n), Value: large}) == verdict.Applied {
		n++
	}
	if n != MaxBytes/len(large)-1 { // keys count too
		t.Errorf("%d notes of %d bytes", n, len(large))
	}
	if r := fold(&event.Noted{Key: "large/000", Value: large}); r != verdict.Applied {
		t.Errorf("one that is replaced is %s", r)
	}
	if r := fold(&event.Unnoted{Key: "large/001"}); r != verdict.Applied {
		t.Error(r)
	}
	if r := fold(&event.Noted{Key: "large/001", Value: large}); r != verdict.Applied {
		t.Errorf("one in the place of another is %s", r)
	}
	for i := range n {
		fold(&event.Unnoted{Key: fmt.Sprintf("large/%03d", i)})
	}
	if !Empty(&rows) {
		t.Error("something is left")
	}
	n = 0
	for fold(&event.Noted{Key: fmt.Sprint(n)}) == verdict.Applied {
		n++
	}
	if n != MaxNotes {
		t.Errorf("%d notes", n)
	}
	for _, e := range []*event.Noted{
		{}, {Key: strings.Repeat("k", event.MaxNoteKey+1)}, {Key: "k", Value: large + "x"}, {Key: "k", Why: large + "x"},
	} {
		if r := fold(e); r != verdict.Malformed {
			t.Errorf("%.20s: %s", e.Key, r)
		}
	}
}

// A prefix finds its own and no other notes.
func TestEachByPrefix(t *testing.T) {
	var rows memory.Rows
	for _, key := range []string{"a", "a/1", "a/2", "a0", "b", "\xff"} {
		Fold(&rows, &rows, &event.Noted{Key: key}, time.UnixMilli(1000))
	}
	for prefix, want := range map[string]string{"": "a a/1 a/2 a0 b \xff", "a/": "a/1 a/2", "a": "a a/1 a/2 a0", "c": "", "\xff": "\xff"} {
		var got []string
		Each(&rows, prefix, func(n Note) bool {
			got = append(got, n.Key)
			return true
		})
		if strings.Join(got, " ") != want {
			t.Errorf("%q: %q, want %q", prefix, got, want)
		}
	}
}
