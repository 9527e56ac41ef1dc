package state

import (
	"fmt"
	"reflect"
	"testing"

	"quorumta/internal/mail"
	"quorumta/queue/event"
)

// What routers have said of a recipient is said of those in its place, however
// far down.
func TestHandlingComesFromAncestors(t *testing.T) {
	s, id := mapStore{}, messageOf(3)
	owner := mail.Address{Local: "owner", Domain: "x"}
	for i, e := range []event.Event{
		&event.Accepted{ID: id, Envelope: mail.Envelope{Recipients: make([]mail.Recipient, 20)}},
		&event.Expanded{Recipient: 19, Into: []event.Child{{}, {}, {Apart: true}}, Router: "aliases", Handling: mail.Handling{Data: "a", Add: []string{"X: 1"}}},
		&event.Expanded{Recipient: 21, Into: make([]event.Child, 1), Router: "lists", Handling: mail.Handling{Errors: &owner, Add: []string{"Y: 2"}}},
		&event.Expanded{Recipient: 23, Into: make([]event.Child, 1)},
	} {
		g := event.Group{ID: id, At: epoch, Events: []event.Event{e}}
		if r := Fold(s, s, uint64(i+1), 1, event.Entry{Term: 1, Groups: []event.Group{g}}); r[0] != Applied {
			t.Fatal(r)
		}
		checkInvariants(t, s)
	}
	m, _ := Load(s, id)
	if got := fmt.Sprint(m.Ancestors(24), m.Ancestors(20), m.Ancestors(0)); got != "[23 21 19] [19] []" {
		t.Errorf("ancestors: %s", got)
	}
	want := mail.Handling{Errors: &owner, Data: "a", Add: []string{"X: 1", "Y: 2"}}
	if got := m.Handling(24); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
	if got := m.Handling(20); !reflect.DeepEqual(got, mail.Handling{Data: "a", Add: []string{"X: 1"}}) {
		t.Errorf("a sibling has got %+v", got)
	}
	if !m.Handling(22).IsZero() {
		t.Error("who stands apart has got what is said of the others")
	}
	if !m.Handling(19).IsZero() {
		t.Error("the alias itself has a handling")
	}
}
