package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"quorumta/cluster"
	"quorumta/internal/mail"
	"quorumta/queue/event"
	"quorumta/queue/state"
)

func TestWhatAnOperatorDoesIsOnRecord(t *testing.T) {
	h := open(t, 1, Options{})
	o := h.office()
	ctx := t.Context()
	id := h.submit([]byte("x\r\n"), "a@b.example")
	for _, act := range []Act{ActHold, ActHold, ActRelease, ActRetry, ActRemove} {
		if err := h.Operate(ctx, act, id, "op", "test"); err != nil {
			t.Errorf("%s: %v", act, err)
		}
		if m, ok := o.Message(id); act == ActHold && (!ok || !m.Held || m.HeldBy != "op" || m.HeldWhy != "test") {
			t.Errorf("after hold: %+v", m)
		}
	}
	want := []event.Kind{event.KindAccepted, event.KindHeld, event.KindReleased, event.KindRetried, event.KindRemoved}
	if k := h.kinds(id); !slices.Equal(k, want) {
		t.Errorf("history %v, want %v", k, want)
	}
	if err := h.Operate(ctx, ActHold, id, "op", ""); !errors.Is(err, ErrNotFound) {
		t.Errorf("a removed message: %v", err)
	}
	if err := h.Operate(ctx, "smash", id, "op", ""); err == nil {
		t.Error("an unknown act is done")
	}
	if _, err := h.OperateAll(ctx, "smash", Selection{}, "op", ""); err == nil {
		t.Error("an unknown act is done")
	}
}

// A removal whose answer was lost and which is found done is a success.
func TestAnActWithAnUnknownOutcomeIsTriedAgain(t *testing.T) {
	h := open(t, 1, Options{})
	h.office()
	id := h.submit([]byte("x\r\n"), "a@b.example")
	var once sync.Once
	h.faults.set(func() {
		h.faults.propose = func(_ uint16, _ event.Entry, next func() ([]cluster.Result, error)) ([]cluster.Result, error) {
			results, err := next()
			once.Do(func() { results, err = nil, cluster.ErrUnknownOutcome })
			return results, err
		}
	})
	if err := h.Operate(t.Context(), ActRemove, id, "op", ""); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	h.desk.leave(1)
	if err := h.Operate(ctx, ActRemove, id, "op", ""); !errors.Is(err, ErrUnavailable) {
		t.Errorf("without a leader: %v", err)
	}
}

func TestListsArePagedInOrderOverAllShards(t *testing.T) {
	h := open(t, 3, Options{Filter: func(expr string) (func(*state.Message) (bool, error), error) {
		if expr != "big" {
			return nil, fmt.Errorf("unknown name %q", expr)
		}
		return func(m *state.Message) (bool, error) { return m.Accepted.Size > 60, nil }, nil
	}})
	for range 3 {
		h.office()
	}
	var ids []mail.MessageID
	for i := range 30 {
		domain := []string{"b.example", "c.example"}[i%2]
		ids = append(ids, h.submit([]byte(strings.Repeat("x", 4*i)), "a@"+domain))
	}
	slices.Sort(ids)
	ctx := t.Context()
	var got []mail.MessageID
	for cursor := ""; ; {
		page, err := h.List(ctx, Selection{}, cursor, 7)
		if err != nil || len(page.Messages) > 7 || len(page.Stale) != 0 {
			t.Fatalf("%d messages, stale %v, %v", len(page.Messages), page.Stale, err)
		}
		for _, m := range page.Messages {
			got = append(got, m.Accepted.ID)
		}
		if cursor = page.Cursor; cursor == "" {
			break
		}
	}
	if !slices.Equal(got, ids) {
		t.Errorf("listed %v, want %v", got, ids)
	}
	if err := h.Operate(ctx, ActHold, ids[0], "op", ""); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		s Selection
		n int
	}{
		{Selection{State: "held"}, 1},
		{Selection{State: "due"}, 29},
		{Selection{State: "deferred"}, 0},
		{Selection{Domain: "B.example"}, 15},
		{Selection{Sender: "from@a.example"}, 30},
		{Selection{Sender: "<>"}, 0},
		{Selection{OlderThan: time.Hour}, 0},
		{Selection{If: "big"}, 23},
	} {
		page, err := h.List(ctx, c.s, "", 100)
		if err != nil || len(page.Messages) != c.n || page.Cursor != "" {
			t.Errorf("%+v: %d messages, %v", c.s, len(page.Messages), err)
		}
	}
	for _, s := range []Selection{{State: "odd"}, {If: "bad"}} {
		if _, err := h.List(ctx, s, "", 1); err == nil {
			t.Errorf("%+v is taken", s)
		}
	}
	n, err := h.OperateAll(ctx, ActRemove, Selection{Domain: "c.example"}, "op", "test")
	if totals, _ := h.Count(ctx); err != nil || n != 15 || totals.Total != 15 || totals.Held+totals.Due != 15 {
		t.Errorf("%d removed, %+v left, %v", n, totals, err)
	}
}

func TestShowOfAnUnknownMessage(t *testing.T) {
	h := open(t, 1, Options{})
	h.office()
	if _, _, err := h.Show(t.Context(), h.draw(1)); !errors.Is(err, ErrNotFound) {
		t.Errorf("err = %v", err)
	}
	if _, _, err := h.Show(t.Context(), h.draw(9)); err == nil {
		t.Error("a shard that does not exist is shown")
	}
}

// Who follows gets the history and then all that comes: nothing twice, nothing
// missing, however the two meet.
func TestFollowingMissesNothing(t *testing.T) {
	h := open(t, 2, Options{})
	h.office()
	h.office()
	const count = 60
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var submitting sync.WaitGroup
	defer submitting.Wait()
	submitting.Go(func() {
		for range count {
			if _, err := h.trySubmit([]byte("x\r\n")); err != nil {
				t.Error(err)
			}
		}
	})
	seen := map[mail.MessageID]int{}
	err := h.Events(ctx, "", true, func(r state.Record) bool {
		a, ok := r.Event.(*event.Accepted)
		if !ok || a.Content != nil || r.At.IsZero() || r.Term == 0 {
			t.Errorf("record %+v", r)
		}
		seen[r.ID]++
		return len(seen) < count
	})
	if err != nil || len(seen) != count {
		t.Fatalf("%d messages seen, %v", len(seen), err)
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("%s was seen %d times", id, n)
		}
	}
	submitting.Wait() // followers are told a moment before the state shows it
	n := 0
	if err := h.Events(ctx, "", false, func(state.Record) bool { n++; return true }); err != nil || n != count {
		t.Errorf("%d records, %v", n, err)
	}
	n = 0
	if err := h.Events(ctx, "", false, func(state.Record) bool { n++; return n < 3 }); err != nil || n != 3 {
		t.Errorf("stopped after %d records, %v", n, err)
	}
}

func TestFollowingOneMessage(t *testing.T) {
	h := open(t, 1, Options{})
	h.office()
	id := h.submit([]byte("x\r\n"), "a@b.example")
	var kinds []event.Kind
	err := h.Events(t.Context(), id, true, func(r state.Record) bool {
		kinds = append(kinds, r.Event.Kind())
		if len(kinds) == 1 {
			h.submit([]byte("other\r\n"), "a@b.example")
			if err := h.Operate(t.Context(), ActRemove, id, "op", ""); err != nil {
				t.Error(err)
			}
		}
		return len(kinds) < 2
	})
	if err != nil || !slices.Equal(kinds, []event.Kind{event.KindAccepted, event.KindRemoved}) {
		t.Errorf("%v, %v", kinds, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := h.Events(ctx, id, true, func(state.Record) bool { return true }); err != nil {
		t.Errorf("the end of the context is an error: %v", err)
	}
}
