package queue

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"quorumta/internal/mail"
	"quorumta/queue/event"
	"quorumta/queue/state"
)

// restored is a queue whose messages come from a backup.
func restored(t *testing.T, o Options, count int) (*house, *Office, []mail.MessageID) {
	h := open(t, 1, o)
	office := h.office()
	var ids []mail.MessageID
	for range count {
		ids = append(ids, h.submit([]byte("x\r\n"), "a@b.example"))
	}
	suspended := &event.Suspended{By: "restore", Backup: time.UnixMilli(1000).UTC()}
	if v := office.Propose(t.Context(), []event.Group{{Events: []event.Event{suspended}}})[0]; v.Err != nil || !v.Result.OK() {
		t.Fatalf("%+v", v)
	}
	return h, office, ids
}

func TestRestoredMailWaitsUntilItIsResumed(t *testing.T) {
	h, o, ids := restored(t, Options{}, 3)
	now := h.submit([]byte("x\r\n"), "a@b.example")
	if rows := waitDue(t, o, 1); len(rows) != 1 || rows[0].ID != now {
		t.Errorf("due: %v", rows)
	}
	if _, err := o.Claim(t.Context(), ids[0], []uint32{0}); !errors.Is(err, ErrStale) {
		t.Errorf("claimed: %v", err)
	}
	n, err := h.Count(t.Context())
	if err != nil || n.Total != 4 || n.Restored != 3 || n.Held != 3 || n.Due != 1 || len(n.Suspended) != 1 || n.Suspended[0].By != "restore" {
		t.Errorf("%+v, %v", n, err)
	}
	if m, _, err := h.Show(t.Context(), ids[0]); err != nil || !m.Suspended || State(m, h.now()) != "held" {
		t.Errorf("%+v, %v", m, err)
	}
	page, err := h.List(t.Context(), Selection{Restored: true}, "", 10)
	if err != nil || len(page.Messages) != 3 {
		t.Errorf("%d messages, %v", len(page.Messages), err)
	}
	// One, those of a selection, and all.
	if err := h.Operate(t.Context(), ActResume, ids[0], "op", ""); err != nil {
		t.Fatal(err)
	}
	waitDue(t, o, 2)
	if n, err := h.OperateAll(t.Context(), ActResume, Selection{Restored: true, Domain: "c.example"}, "op", ""); n != 0 || err != nil {
		t.Errorf("%d resumed, %v", n, err)
	}
	changed := o.Changed()
	if err := h.Resume(t.Context(), "op"); err != nil {
		t.Fatal(err)
	}
	<-changed
	waitDue(t, o, 4)
	if err := h.Resume(t.Context(), "op"); err != nil {
		t.Errorf("resumed again: %v", err)
	}
	if n, err = h.Count(t.Context()); err != nil || n.Restored != 0 || n.Held != 0 || n.Due != 4 || n.Suspended != nil {
		t.Errorf("%+v, %v", n, err)
	}
}

// An event that a member may not know is not proposed.
func TestWhatNotAllMembersKnowIsNotProposed(t *testing.T) {
	h := open(t, 1, Options{Level: func() int { return 1 }})
	o := h.office()
	id := h.submit([]byte("x\r\n"), "a@b.example")
	if err := h.Operate(t.Context(), ActResume, id, "op", ""); !errors.Is(err, ErrTooNew) {
		t.Errorf("Operate: %v", err)
	}
	if _, err := h.OperateAll(t.Context(), ActResume, Selection{}, "op", ""); !errors.Is(err, ErrTooNew) {
		t.Errorf("OperateAll: %v", err)
	}
	if err := h.Resume(t.Context(), "op"); !errors.Is(err, ErrTooNew) {
		t.Errorf("Resume: %v", err)
	}
	expanded := Outcome{ID: id, Events: []event.Event{&event.Expanded{Into: make([]event.Child, 1), Count: 1}}}
	if err := h.Resolve(t.Context(), expanded); !errors.Is(err, ErrTooNew) {
		t.Errorf("Resolve: %v", err)
	}
	v := o.Propose(t.Context(), []event.Group{{ID: id, Events: []event.Event{&event.Resumed{}}}})[0]
	if !v.NotProposed() || !errors.Is(v.Err, ErrTooNew) {
		t.Errorf("%+v", v)
	}
	h.faults.set(func() {
		for _, e := range h.faults.entries {
			if has(e, event.KindResumed) {
				t.Error("proposed")
			}
		}
	})
}

// A node that does not lead asks the one that does.
func TestResumingAtAnotherNode(t *testing.T) {
	h, o, _ := restored(t, Options{}, 1)
	if a, err := h.serveResume(t.Context(), resumption{Shard: 2}); err != nil || a.Result != 0 {
		t.Errorf("without an office: %+v, %v", a, err)
	}
	if a, err := h.serveResume(t.Context(), resumption{Shard: 1, By: "op"}); err != nil || a.Result != state.Applied {
		t.Errorf("%+v, %v", a, err)
	}
	waitDue(t, o, 1)
}

// Notes are not written before all members know them; they count here until
// then.
func TestNotesWaitForTheUpgrade(t *testing.T) {
	var level atomic.Int64
	level.Store(2)
	h := open(t, 1, Options{Level: func() int { return int(level.Load()) }})
	h.office()
	if err := h.Note(t.Context(), "key", "value", time.Time{}); !errors.Is(err, ErrTooNew) {
		t.Errorf("err = %v", err)
	}
	if n, ok := h.Noted("key"); !ok || n.Value != "value" {
		t.Errorf("%+v, %v", n, ok)
	}
	for _, key := range []string{"", strings.Repeat("k", event.MaxNoteKey+1)} {
		if err := h.Note(t.Context(), key, "", time.Time{}); !errors.Is(err, ErrNoteTooLong) {
			t.Errorf("err = %v", err)
		}
	}
	level.Store(event.Newest)
	if err := h.Note(t.Context(), "key", "other", time.Time{}); err != nil {
		t.Error(err)
	}
}
