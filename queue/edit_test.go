package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"quorumta/cluster"
	"quorumta/internal/mail"
	"quorumta/queue/event"
)

func recipient(local string) mail.Address { return mail.Address{Local: local, Domain: "b.example"} }

// An edit whose answer was lost is done once; one that was decided about other
// recipients than there are by then is decided anew.
func TestRecipientsAreEditedOnce(t *testing.T) {
	h := open(t, 1, Options{})
	o := h.office()
	id := h.submit([]byte("x\r\n"), "a@b.example")
	var lost sync.Once
	h.faults.set(func() {
		h.faults.propose = func(_ uint16, e event.Entry, next func() ([]cluster.Result, error)) ([]cluster.Result, error) {
			if _, ok := e.Groups[0].Events[0].(*event.Edited); !ok {
				return next()
			}
			results, err := next()
			lost.Do(func() { results, err = nil, cluster.ErrUnknownOutcome })
			return results, err
		}
	})
	w := Wish{Add: []mail.Address{recipient("b")}, Replace: []Replacement{{Old: recipient("a"), New: recipient("c")}}}
	if err := h.Edit(t.Context(), id, w, "op", "test"); err != nil {
		t.Fatal(err)
	}
	m, _ := o.Message(id)
	var to []string
	for _, r := range m.Recipients {
		to = append(to, r.Address.Local+" "+r.Phase.String())
	}
	if want := []string{"a expanded", "c pending", "b pending"}; !slices.Equal(to, want) {
		t.Errorf("got %q, want %q", to, want)
	}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			if err := h.Edit(t.Context(), id, Wish{Add: []mail.Address{recipient(fmt.Sprint(i))}}, "op", ""); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if m, _ := o.Message(id); len(m.Recipients) != 3+8 {
		t.Errorf("%d recipients after eight more came at once", len(m.Recipients))
	}
	rest := Wish{Drop: []mail.Address{recipient("b"), recipient("c")}}
	for i := range 8 {
		rest.Drop = append(rest.Drop, recipient(fmt.Sprint(i)))
	}
	if err := h.Edit(t.Context(), id, rest, "op", "enough"); err != nil {
		t.Fatal(err)
	}
	want := append([]event.Kind{event.KindAccepted}, slices.Repeat([]event.Kind{event.KindEdited}, 1+8+1)...)
	if k := h.kinds(id); !slices.Equal(k, want) {
		t.Errorf("history %v, want %v", k, want)
	}
	if err := h.Edit(t.Context(), id, w, "op", ""); !errors.Is(err, ErrNotFound) {
		t.Errorf("a message that has ended: %v", err)
	}
	id = h.submit([]byte("x\r\n"), "a@b.example")
	h.desk.leave(1)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if err := h.Edit(ctx, id, w, "op", ""); err == nil {
		t.Error("edited without a leader")
	}
}

// Before an upgrade is finished nobody can edit; hosts can be named without a
// reason, as older members know it.
func TestEditingTakesTheUpgrade(t *testing.T) {
	h := open(t, 1, Options{Level: func() int { return 2 }})
	h.office()
	id := h.submit([]byte("x\r\n"), "a@b.example")
	if err := h.Edit(t.Context(), id, Wish{Drop: []mail.Address{recipient("a")}}, "op", ""); !errors.Is(err, ErrTooNew) {
		t.Errorf("edited: %v", err)
	}
	if err := h.Reroute(t.Context(), id, []string{"h"}, "op", "a reason"); !errors.Is(err, ErrTooNew) {
		t.Errorf("rerouted with a reason: %v", err)
	}
	if n, err := h.RerouteAll(t.Context(), Selection{Domain: "b.example"}, []string{"h"}, "op", ""); err != nil || n != 1 {
		t.Errorf("rerouted %d: %v", n, err)
	}
}
