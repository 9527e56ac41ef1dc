package state

import (
	"testing"

	"quorumta/internal/mail"
	"quorumta/queue/event"
	"quorumta/queue/state/roster"
)

// A claim that spans sections loses those alone who land, read or not.
func TestClaimsSpanSections(t *testing.T) {
	s, folder, id := mapStore{}, new(Folder), messageOf(3)
	fold := func(e event.Event) {
		t.Helper()
		g := event.Group{ID: id, At: epoch, Events: []event.Event{e}}
		if r := folder.Fold(s, s, 1, 1, event.Entry{Term: 1, Groups: []event.Group{g}})[0]; r != Applied {
			t.Fatal(r)
		}
		checkInvariants(t, s)
	}
	fold(&event.Accepted{ID: id, Envelope: mail.Envelope{Recipients: make([]mail.Recipient, 2*roster.SectionSize)}})
	into := make([]event.Child, roster.SectionSize+1)
	fold(&event.Expanded{Recipient: 0, Into: into}) // 769: a section more, and one seat
	all := make([]uint32, 3*roster.SectionSize)
	for i := range all {
		all[i] = uint32(i + 1)
	}
	fold(&event.Claimed{Number: 1, Recipients: all, By: event.Process{Node: "n1", Boot: 1}})
	for _, n := range []uint32{255, 256, 768, 1} {
		fold(&event.Delivered{Recipients: []uint32{n}, Attempt: event.Attempt{Number: 1}})
	}
	fold(&event.Returned{Recipients: []uint32{2}, Number: 1})
	fold(&event.Claimed{Number: 2, Recipients: []uint32{2}})
	fold(&event.Removed{})
}
