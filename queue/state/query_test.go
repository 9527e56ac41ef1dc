package state

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"quorumta/internal/mail"
	"quorumta/queue/event"
	"quorumta/queue/event/codec"
	"quorumta/queue/state/keys"
	"quorumta/queue/state/roster"
)

// populated is a shard with messages m (id 1: due at once, id 2: an hour later,
// id 3: claimed, with an expansion, id 4: closed, id 5: an upload).
func populated(t *testing.T) (mapStore, []mail.MessageID) {
	t.Helper()
	s := mapStore{}
	var ids []mail.MessageID
	for n := range 6 {
		ids = append(ids, mail.NewMessageID(epoch, 1, [5]byte{4: byte(n)}))
	}
	accepted := func(n int, due time.Time) *event.Accepted {
		to := []mail.Recipient{{Address: mail.Address{Local: "a", Domain: "x"}}, {Address: mail.Address{Local: "b", Domain: "x"}}}
		return &event.Accepted{
			ID: ids[n], Size: 2, Content: []byte("hi"), Due: due, Subject: "s",
			Envelope: mail.Envelope{Recipients: to},
		}
	}
	into := []event.Child{{Recipient: mail.Recipient{Address: mail.Address{Local: "c", Domain: "y"}, Notify: mail.NotifyNever}}}
	for _, g := range []event.Group{
		{ID: ids[1], Events: []event.Event{accepted(1, time.Time{})}},
		{ID: ids[2], Events: []event.Event{accepted(2, epoch.Add(time.Hour))}},
		{ID: ids[3], Events: []event.Event{accepted(3, time.Time{})}},
		{ID: ids[3], Events: []event.Event{&event.Expanded{Recipient: 0, Into: into}}},
		{ID: ids[3], Events: []event.Event{&event.Claimed{Number: 1, Recipients: []uint32{2}, By: event.Process{Node: "n1", Boot: 7}}}},
		{ID: ids[4], Events: []event.Event{accepted(4, time.Time{}), &event.Removed{By: "op"}}},
		{ID: ids[5], Events: []event.Event{&event.BodyPart{N: 0, Content: []byte("part")}}},
	} {
		g.At = epoch
		entry := reencode(t, event.Entry{Term: 4, Groups: []event.Group{g}})
		if r := Fold(s, s, 1, 4, entry); !r[0].OK() {
			t.Fatalf("%v: %+v", r, g)
		}
	}
	return s, ids
}

func TestDueIsInOrderAndInPages(t *testing.T) {
	s, ids := populated(t)
	all := []DueRow{{epoch, ids[1]}, {epoch, ids[3]}, {epoch.Add(time.Hour), ids[2]}}
	if got := Due(s, DueRow{}, epoch.Add(time.Hour), 10); !reflect.DeepEqual(got, all) {
		t.Errorf("got %v", got)
	}
	if got := Due(s, DueRow{}, epoch.Add(time.Hour-1), 10); !reflect.DeepEqual(got, all[:2]) {
		t.Errorf("within the hour: %v", got)
	}
	if got := Due(s, DueRow{}, epoch.Add(-time.Millisecond), 10); got != nil {
		t.Errorf("before: %v", got)
	}
	var after DueRow
	for i := range all {
		page := Due(s, after, epoch.Add(time.Hour), 1)
		if !reflect.DeepEqual(page, all[i:i+1]) {
			t.Fatalf("page %d: %v", i, page)
		}
		after = page[0]
	}
	if got := Due(s, after, epoch.Add(time.Hour), 1); got != nil {
		t.Errorf("after the last: %v", got)
	}
	if got := Due(s, DueRow{}, epoch, 0); got != nil {
		t.Errorf("with limit 0: %v", got)
	}
	if n := CountDue(s, epoch); n != 2 {
		t.Errorf("%d are due", n)
	}
}

func TestLoad(t *testing.T) {
	s, ids := populated(t)
	m, ok := Load(s, ids[3])
	if !ok || m.Accepted.Subject != "s" || m.Accepted.Content != nil || !m.At.Equal(epoch) || m.Attempts != 1 {
		t.Fatalf("%+v", m)
	}
	if got := m.Recipients[2]; got.Address.String() != "c@y" || got.Notify != mail.NotifyNever || got.Phase != InFlight {
		t.Errorf("the expansion is %+v", got)
	}
	if got := m.DueAt(epoch); !reflect.DeepEqual(got, []uint32{1}) {
		t.Errorf("due are %v", got)
	}
	if got := m.DueAt(epoch.Add(-1)); got != nil {
		t.Errorf("due before: %v", got)
	}
	m.Held = true
	if got := m.DueAt(epoch); got != nil {
		t.Errorf("due, though held: %v", got)
	}
	if _, ok := Load(s, ids[4]); ok {
		t.Error("a closed message is loaded")
	}
}

func TestCurrent(t *testing.T) {
	s, ids := populated(t)
	tests := []struct {
		id     mail.MessageID
		number uint32
		list   []uint32
		want   bool
	}{
		{ids[3], 1, []uint32{2}, true},
		{ids[3], 2, []uint32{2}, false},
		{ids[3], 1, []uint32{1, 2}, false},
		{ids[3], 1, []uint32{3}, false},
		{ids[4], 1, []uint32{0}, false},
	}
	for _, tt := range tests {
		if got := Current(s, tt.id, tt.number, tt.list); got != tt.want {
			t.Errorf("%+v: %v", tt, got)
		}
	}
}

func TestClaimsAndUploads(t *testing.T) {
	s, ids := populated(t)
	var claims []Claim
	Claims(s, func(c Claim) bool { claims = append(claims, c); return true })
	want := Claim{ID: ids[3], Number: 1, Recipients: []uint32{2}, By: event.Process{Node: "n1", Boot: 7}, Term: 4, At: epoch}
	if !reflect.DeepEqual(claims, []Claim{want}) {
		t.Errorf("claims %+v", claims)
	}
	var uploads []Upload
	Uploads(s, func(u Upload) bool { uploads = append(uploads, u); return true })
	if len(uploads) != 1 || uploads[0].ID != ids[5] || !uploads[0].Renewed.Equal(epoch) {
		t.Errorf("uploads %+v", uploads)
	}
	if part, ok := Content(s, ids[5], 0); !ok || string(part) != "part" {
		t.Errorf("content %q", part)
	}
	if _, ok := Content(s, ids[4], 0); ok {
		t.Error("a closed message has content")
	}
}

func TestOpenAndClosed(t *testing.T) {
	s, ids := populated(t)
	var open []mail.MessageID
	for id, more := mail.MessageID(""), true; more; {
		more = false
		Open(s, id, func(next mail.MessageID) bool {
			open, id, more = append(open, next), next, true
			return false
		})
	}
	if !reflect.DeepEqual(open, ids[1:4]) {
		t.Errorf("open %v", open)
	}
	var closed []mail.MessageID
	Closed(s, func(id mail.MessageID) bool { closed = append(closed, id); return true })
	if !reflect.DeepEqual(closed, ids[4:5]) {
		t.Errorf("closed %v", closed)
	}
	if days := Days(s); !reflect.DeepEqual(days, []uint32{keys.DayOf(epoch)}) {
		t.Errorf("days %v", days)
	}
}

func TestHistory(t *testing.T) {
	s, ids := populated(t)
	for id, want := range map[mail.MessageID]string{
		ids[1]: "accepted", ids[3]: "accepted expanded claimed", ids[4]: "accepted removed", ids[5]: "",
	} {
		history, ok := History(s, id)
		var kinds []string
		for _, r := range history {
			kinds = append(kinds, r.Event.Kind().String())
			if r.ID != id || r.Term != 4 || !r.At.Equal(epoch) {
				t.Errorf("%s: record %+v", id, r)
			}
		}
		if got := strings.Join(kinds, " "); got != want || ok != (want != "") {
			t.Errorf("%s: %q, %v", id, got, ok)
		}
	}
}

// A repetition is recognised even where the clock that drew the id was far
// ahead of the shard's.
func TestIDsFromTheFutureAreKnown(t *testing.T) {
	s := mapStore{}
	id := mail.NewMessageID(epoch.Add(100*24*time.Hour), 1, [5]byte{1})
	a := &event.Accepted{ID: id, Envelope: mail.Envelope{Recipients: make([]mail.Recipient, 1)}}
	fold := func(events ...event.Event) Result {
		g := event.Group{ID: id, At: epoch, Events: events}
		return Fold(s, s, 1, 1, reencode(t, event.Entry{Term: 1, Groups: []event.Group{g}}))[0]
	}
	if r := fold(a, &event.Removed{}); r != Applied {
		t.Fatal(r)
	}
	if r := fold(a); r != Duplicate {
		t.Errorf("the repetition is %v", r)
	}
}

func TestLongRepliesAreCutInTheStatusOnly(t *testing.T) {
	s, ids := populated(t)
	text := strings.Repeat("x", 5000)
	failed := &event.Failed{Recipients: []uint32{0}, Attempt: event.Attempt{Reply: mail.Reply{Code: 550, Text: text}}}
	g := event.Group{ID: ids[1], At: epoch, Events: []event.Event{failed}}
	if r := Fold(s, s, 1, 4, event.Entry{Term: 4, Groups: []event.Group{g}}); r[0] != Applied {
		t.Fatal(r)
	}
	m, _ := Load(s, ids[1])
	if got := len(m.Recipients[0].Reply.Text); got != roster.MaxReplyText {
		t.Errorf("%d bytes in the status", got)
	}
	history, _ := History(s, ids[1])
	if got := history[1].Event.(*event.Failed).Attempt.Reply.Text; got != text {
		t.Errorf("%d bytes in the history", len(got))
	}
}

func TestLargeContentIsRefused(t *testing.T) {
	s, ids := populated(t)
	large := make([]byte, event.MaxPart+1)
	a := &event.Accepted{ID: ids[0], Size: int64(len(large)), Content: large, Envelope: mail.Envelope{Recipients: make([]mail.Recipient, 1)}}
	for _, e := range []event.Event{a, &event.BodyPart{Content: large}} {
		g := event.Group{ID: ids[0], At: epoch, Events: []event.Event{e}}
		if r := Fold(s, s, 1, 4, event.Entry{Term: 4, Groups: []event.Group{g}}); r[0] != Malformed {
			t.Errorf("%v: %v", e.Kind(), r)
		}
	}
}

// Our own rows are never doubted: what cannot be read stops the shard.
func TestDamagedRowsPanic(t *testing.T) {
	panics := func(name string, f func()) {
		t.Helper()
		defer func() {
			if recover() == nil {
				t.Errorf("%s: no panic", name)
			}
		}()
		f()
	}
	s, ids := populated(t)
	hold := func(n int, e event.Event) {
		g := event.Group{ID: ids[n], At: epoch, Events: []event.Event{e}}
		Fold(s, s, 1, 1, event.Entry{Term: 1, Groups: []event.Group{g}})
	}
	s.Set(keys.IDKey(keys.Status, ids[1]), []byte{0xff})
	panics("status", func() { hold(1, &event.Held{}) })
	s.Delete(keys.IDKey(keys.Message, ids[2]))
	panics("birth", func() { Load(s, ids[2]) })
	panics("record", func() { hold(2, &event.Removed{}) })
	big := &event.Accepted{ID: ids[0], Envelope: mail.Envelope{Recipients: make([]mail.Recipient, roster.ChunkSize+1)}}
	hold(0, big)
	s.Delete(keys.NumberedKey(keys.Chunk, ids[0], 1))
	panics("recipients", func() { hold(0, &event.Retried{}) })
	hold(3, &event.Claimed{Number: 2, Recipients: []uint32{1}})
	s.Delete(keys.NumberedKey(keys.Claim, ids[3], 1))
	panics("claim", func() { hold(3, &event.Returned{Number: 1, Recipients: []uint32{2}}) })
	odd := Record{At: epoch, Event: &event.Held{}}
	s.Set(keys.IDKey(keys.Message, ids[3]), codec.Append(nil, &odd, describeRecord))
	panics("history", func() {
		hold(3, &event.Accepted{ID: ids[3], Envelope: mail.Envelope{Recipients: make([]mail.Recipient, 1)}})
	})
	s.Set(keys.ShardKey(), []byte{0})
	panics("shard", func() { Count(s) })
}

func TestNames(t *testing.T) {
	for r, want := range map[Result]string{0: "none", Applied: "applied", Malformed: "malformed", 99: "result 99"} {
		if r.String() != want {
			t.Errorf("%d is called %q", r, r)
		}
		if r.OK() != (r == Applied || r == Duplicate) {
			t.Errorf("%v is OK: %v", r, r.OK())
		}
	}
	for p, want := range map[Phase]string{Pending: "pending", Expanded: "expanded", 99: "phase 99"} {
		if p.String() != want {
			t.Errorf("%d is called %q", p, p)
		}
	}
}

// Folding is total: whatever can be decoded is applied or refused.
func FuzzFold(f *testing.F) {
	for _, e := range []event.Event{
		&event.Pruned{Day: 3}, &event.Removed{}, &event.Claimed{Number: 1, Recipients: []uint32{0, 1}},
		&event.Accepted{Envelope: mail.Envelope{Recipients: make([]mail.Recipient, 2)}}, &event.BodyPart{N: 1, Content: []byte("x")},
		&event.Expanded{Into: make([]event.Child, 1)}, &event.Delivered{Recipients: []uint32{2}, Attempt: event.Attempt{Number: 1}},
	} {
		id := mail.NewMessageID(epoch, 1, [5]byte{4: 3})
		if a, ok := e.(*event.Accepted); ok {
			a.ID = id
		}
		f.Add(event.Append(nil, event.Entry{Term: 4, Groups: []event.Group{{ID: id, At: epoch, Events: []event.Event{e}}}}))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := event.Decode(b)
		if err != nil {
			return
		}
		s, _ := populated(t)
		if results := Fold(s, s, 9, 4, e); len(results) != len(e.Groups) {
			t.Fatalf("%d results for %d groups", len(results), len(e.Groups))
		}
		checkInvariants(t, s)
	})
}

// The rows' bytes are frozen: a state outlives the version that wrote it.
func TestRowsAreFrozen(t *testing.T) {
	s, ids := populated(t)
	a := &event.Accepted{ID: ids[0], Size: 1, Content: []byte("x"), Envelope: mail.Envelope{Recipients: make([]mail.Recipient, 17)}}
	attempt := event.Attempt{Number: 1, Host: "mx", Reply: mail.Reply{Code: 450, Enhanced: "4.0.0", Text: "no"}}
	for _, e := range []event.Event{
		a,
		&event.Claimed{Number: 1, Recipients: []uint32{0, 1}, By: event.Process{Node: "n1", Boot: 7}},
		&event.Deferred{Recipients: []uint32{0}, Attempt: attempt, Error: event.ErrorTimeout, Due: epoch.Add(time.Hour)},
		&event.Doubted{Number: 1, Recipients: []uint32{1}, By: event.Process{Node: "n1", Boot: 7}},
		&event.Claimed{Number: 2, Recipients: []uint32{1}, By: event.Process{Node: "n2", Boot: 7}},
		&event.Warned{Recipients: []uint32{0}, Step: 1},
		&event.Held{By: "op", Why: "look"},
		&event.Rerouted{By: "op", Hosts: []string{"h1", "h2"}},
	} {
		g := event.Group{ID: ids[0], At: epoch, Events: []event.Event{e}}
		if r := Fold(s, s, 1, 5, event.Entry{Term: 5, Groups: []event.Group{g}}); r[0] != Applied {
			t.Fatalf("%v: %+v", r, e)
		}
	}
	frozen(t, s, "rows.golden")
	free := mail.NewMessageID(epoch, 1, [5]byte{9})
	for _, g := range []event.Group{
		{Events: []event.Event{&event.Suspended{By: "op", Backup: epoch.Add(-time.Hour)}}},
		{ID: ids[0], Events: []event.Event{&event.Resumed{By: "op"}}},
		{ID: free, Events: []event.Event{
			&event.Accepted{ID: free, Size: 1, Content: []byte("x"), Envelope: mail.Envelope{Recipients: make([]mail.Recipient, 1)}}}},
	} {
		g.At = epoch
		if r := Fold(s, s, 1, 5, event.Entry{Term: 5, Groups: []event.Group{g}}); r[0] != Applied {
			t.Fatalf("%v: %+v", r, g)
		}
	}
	frozen(t, s, "rows2.golden")
	owner := mail.Address{Local: "owner", Domain: "x"}
	for _, e := range []*event.Expanded{
		{Recipient: 0, Router: "lists", Count: 17, More: true, Into: []event.Child{{Recipient: mail.Recipient{Address: owner}}},
			Handling: mail.Handling{Errors: &owner, Add: []string{"List-Id: <x>"}, Remove: []string{"X-*"}, Data: "d"}},
		{Recipient: 2, Router: "aliases", Count: 18, Into: []event.Child{{Recipient: mail.Recipient{Address: owner}, Item: "|cat", Apart: true}},
			Handling: mail.Handling{Errors: &mail.Address{}}},
		{Recipient: 3, Router: "nowhere", Nobody: true},
	} {
		g := event.Group{ID: ids[0], At: epoch, Events: []event.Event{e}}
		if r := Fold(s, s, 1, 5, reencode(t, event.Entry{Term: 5, Groups: []event.Group{g}})); r[0] != Applied {
			t.Fatalf("%v: %+v", r, e)
		}
	}
	frozen(t, s, "rows3.golden")
}

// frozen compares all rows with a file.
func frozen(t *testing.T, s mapStore, name string) {
	t.Helper()
	var rows strings.Builder
	s.Scan(nil, nil, func(k, v []byte) bool {
		fmt.Fprintf(&rows, "%q %x\n", k, v)
		return true
	})
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(rows.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	compareLines(t, rows.String(), string(want))
}
