package queue

import (
	"errors"
	"testing"
	"time"

	"quorumta/cluster"
	"quorumta/internal/mail"
	"quorumta/queue/event"
	"quorumta/queue/feed"
	"quorumta/queue/state"
	"quorumta/queue/state/memory"
)

// PROTOCOL 22, on a real node: an entry whose fold panics stops the shard; once
// it is skipped the shard goes on, and the message that it names is held, which
// who follows is told.
func TestAPoisonousEntryIsPassedOver(t *testing.T) {
	h := open(t, 1, Options{})
	o := h.office()
	id, other := h.submit([]byte("x\r\n"), "a@b.example"), h.submit([]byte("x\r\n"), "a@b.example")
	waitDue(t, o, 2)
	poison := append([]byte{0xff}, id...)
	if _, err := h.node.Propose(t.Context(), 1, o.Term(), poison); err == nil {
		t.Fatal("an entry that nobody can decode is folded")
	}
	var index uint64
	eventually(t, "the shard stops", func() bool {
		s := h.node.Status()[0]
		index = s.Applied + 1
		return s.Stopped != ""
	})
	if err := h.node.Skip(t.Context(), 1, index, false); err != nil {
		t.Fatal(err)
	}
	heir := h.office()
	eventually(t, "the message is held", func() bool {
		m, ok := heir.Message(id)
		return ok && m.Held
	})
	if rows := waitDue(t, heir, 1); rows[0].ID != other {
		t.Errorf("due: %v", rows)
	}
	if err := h.Operate(t.Context(), ActRelease, id, "op", ""); err != nil {
		t.Fatal(err)
	}
	waitDue(t, heir, 2)
	follower := h.desk.shard(1).feed.Follow()
	defer follower.Close()
	told, err := follower.Next(t.Context())
	if err != nil || told[len(told)-2].ID != id || told[len(told)-2].Event.Kind() != event.KindHeld {
		t.Errorf("told %+v, %v", told, err)
	}
}

// A shard that goes away ends its feed; the next machine of that shard is
// another one.
func TestAMachineThatIsClosed(t *testing.T) {
	h := open(t, 1, Options{})
	s := h.desk.host(7)
	follower := h.follow(7)
	var view, batch = cluster.View(&memory.Rows{}), cluster.Batch(&memory.Rows{})
	if !s.Empty(view) || len(s.Skipped(view, batch, cluster.Entry{Index: 1, Term: 1, Data: []byte("?")})) != 0 {
		t.Error("a new shard is not empty")
	}
	s.Close()
	if _, err := follower.Next(t.Context()); !errors.Is(err, feed.ErrClosed) {
		t.Errorf("err = %v", err)
	}
	if h.follow(7) != nil || h.desk.host(7) == s {
		t.Error("the machine is still there")
	}
}

// What is restored waits from the first moment on, also what had been let go
// before the backup.
func TestSuspendingWhatWasRestored(t *testing.T) {
	rows := &memory.Rows{}
	at := time.UnixMilli(1_700_000_000_000).UTC()
	accept := func(n byte) mail.MessageID {
		id := mail.NewMessageID(at, 1, [5]byte{n})
		a := &event.Accepted{ID: id, Envelope: submission("a@b.example").Envelope, Size: 1, Content: []byte("x")}
		e := event.Entry{Term: 3, Groups: []event.Group{{ID: id, At: at, Events: []event.Event{a}}}}
		if r := state.Fold(rows, rows, 9, 3, e)[0]; !r.OK() {
			t.Fatal(r)
		}
		return id
	}
	accept(1)
	for n := range byte(2) {
		if err := Suspend(rows, rows, 9, 3, at, at, "restore"); err != nil {
			t.Fatal(err)
		}
		accept(2 + n)
		if due := state.CountDue(rows, at); due != 1 {
			t.Errorf("%d are due", due)
		}
	}
	if err := Suspend(rows, rows, 9, 3, time.Time{}, at, ""); err == nil {
		t.Error("suspended at no time")
	}
}
