package queue

import (
	"testing"
	"time"

	"quorumta/queue/event"
	"quorumta/queue/state"
)

// Entries under way together may overtake each other. Who follows is told the
// time that is on record, by which he knows what he has been told.
func TestFollowersAreToldTheTimeOnRecord(t *testing.T) {
	h := open(t, 1, Options{})
	o := h.office()
	id := h.submit([]byte("x\r\n"), "a@b.example")
	follower := h.desk.shard(1).feed.Follow()
	defer follower.Close()
	group := event.Group{ID: id, At: h.now().Add(-time.Hour), Events: []event.Event{&event.Held{By: "op"}}}
	entry := event.Append(nil, event.Entry{Term: o.Term(), Groups: []event.Group{group}})
	if _, err := h.way.Propose(t.Context(), 1, o.Term(), entry); err != nil {
		t.Fatal(err)
	}
	told, err := follower.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var kept []state.Record
	_ = h.view(o.Shard(), func(r state.Reader) { kept, _ = state.History(r, id) })
	if n := len(kept); n != 2 || len(told) != 2 || !told[1].At.Equal(kept[1].At) {
		t.Errorf("told %+v, on record %+v", told, kept)
	}
}
