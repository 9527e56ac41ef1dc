package state

import (
	"maps"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"quorumta/internal/mail"
	"quorumta/queue/event"
	"quorumta/queue/state/keys"
	"quorumta/queue/state/notes"
	"quorumta/queue/state/recent"
	"quorumta/queue/state/roster"
)

// step is a group with the terms it was decided and committed in.
type step struct {
	decided, term uint64
	group         event.Group
}

// historian makes up histories that are mostly plausible.
type historian struct {
	t    *rapid.T
	s    mapStore
	now  time.Time
	term uint64
}

// Whatever the history, the invariants hold after each group, a refused group
// changes nothing, and another member that got the same groups in other
// entries has the same state, byte for byte.
func TestRandomHistories(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := &historian{t: t, s: mapStore{}, now: epoch, term: 1}
		var steps []step
		var results []Result
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			st := h.step()
			steps = append(steps, st)
			results = append(results, h.fold(st))
		}
		other, verdicts := replay(t, steps, &recent.Rows{Most: rapid.IntRange(1, 4096).Draw(t, "most")})
		if !h.s.equal(other) {
			t.Fatalf("two members differ:\n%s\n%s", Dump(h.s), Dump(other))
		}
		for i := range results {
			if results[i] != verdicts[i] {
				t.Fatalf("group %d: %v on one member, %v on the other", i, results[i], verdicts[i])
			}
		}
	})
}

func (h *historian) fold(st step) Result {
	before := maps.Clone(h.s)
	entry := event.Entry{Term: st.decided, Groups: []event.Group{st.group}}
	result := Fold(h.s, h.s, 1, st.term, reencode(h.t, entry))[0]
	if result != Applied && !h.s.equal(before) {
		h.t.Fatalf("%v has changed the state: %+v", result, st.group)
	}
	if result == Applied && st.decided != st.term {
		for _, e := range st.group.Events {
			if u, ok := e.(*event.Unnoted); e.Kind() == event.KindClaimed || e.Kind() == event.KindExpired || ok && !u.Until.IsZero() {
				h.t.Fatalf("%v of another term was applied", e.Kind())
			}
		}
	}
	checkInvariants(h.t, h.s)
	return result
}

// replay folds the steps in entries of random length, whose bytes it drops
// after each, and with rows that are remembered.
func replay(t *rapid.T, steps []step, rows *recent.Rows) (mapStore, []Result) {
	s := mapStore{}
	var results []Result
	index := uint64(0)
	for i := 0; i < len(steps); {
		entry := event.Entry{Term: steps[i].decided}
		term, most := steps[i].term, rapid.IntRange(1, 8).Draw(t, "batch")
		for ; i < len(steps) && len(entry.Groups) < most; i++ {
			if steps[i].decided != entry.Term || steps[i].term != term {
				break
			}
			entry.Groups = append(entry.Groups, steps[i].group)
		}
		b := event.Append(nil, entry)
		decoded, err := event.Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		index++
		if rapid.IntRange(1, 10).Draw(t, "gap") == 1 {
			index++
		}
		remembering := rows.Entry(index, s, s, rapid.Bool().Draw(t, "contents"))
		results = append(results, Fold(remembering, remembering, index, term, decoded)...)
		remembering.End()
		clear(b)
		checkMemory(t, s, rows)
	}
	return s, results
}

// remembering is a store with rows that are remembered.
type remembering struct {
	mapStore
	*recent.Rows
}

// checkMemory compares what is remembered with what is stored.
func checkMemory(t *rapid.T, s mapStore, rows *recent.Rows) {
	for n := 1; n <= 6; n++ {
		id := messageOf(n)
		stored, there := Load(s, id)
		if m, ok := Load(remembering{s, rows}, id); ok {
			m.Recipients[0].Host, m.Held = "changed", !m.Held // it is the caller's own
		}
		known, remembered := Load(remembering{s, rows}, id)
		if there != remembered || !reflect.DeepEqual(stored, known) {
			t.Fatalf("message %s is %+v, remembered as %+v", id, stored, known)
		}
		content, there := Content(s, id, 0)
		if c, ok := Content(remembering{s, rows}, id, 0); ok != there || string(c) != string(content) {
			t.Fatalf("content of %s is %q, remembered as %q", id, content, c)
		}
		for _, attempt := range []uint32{1, 2} {
			if Current(s, id, attempt, []uint32{0}) != Current(remembering{s, rows}, id, attempt, []uint32{0}) {
				t.Fatalf("attempt %d of %s is not remembered as it is", attempt, id)
			}
		}
	}
}

func (h *historian) chance(percent int, what string) bool {
	return rapid.IntRange(1, 100).Draw(h.t, what) <= percent
}

func (h *historian) step() step {
	switch {
	case h.chance(5, "new term"):
		h.term++
	case h.chance(5, "next day"):
		h.now = h.now.Add(25 * time.Hour)
	default:
		h.now = h.now.Add(time.Duration(rapid.IntRange(-1, 300).Draw(h.t, "seconds")) * time.Second)
	}
	st := step{decided: h.term, term: h.term, group: h.group()}
	if h.chance(10, "old decision") {
		st.decided--
	}
	st.group.At = h.now
	return st
}

func (h *historian) group() event.Group {
	id := h.id()
	switch rapid.IntRange(0, 18).Draw(h.t, "sort of group") {
	case 0:
		return event.Group{Events: []event.Event{&event.Pruned{Day: keys.DayOf(h.now) - uint32(rapid.IntRange(0, 2).Draw(h.t, "day"))}}}
	case 1:
		return event.Group{Events: []event.Event{&event.Swept{IDs: []mail.MessageID{id}}}}
	case 15:
		return event.Group{Events: []event.Event{&event.Suspended{By: "op", Backup: h.now}}}
	case 16:
		return event.Group{Events: []event.Event{&event.Resumed{By: "op"}}}
	case 17:
		by := rapid.SampledFrom([]string{"", "op"}).Draw(h.t, "by")
		return event.Group{ID: h.noteID(), Events: []event.Event{&event.Noted{Key: h.note(), Value: "v", Until: h.due(), By: by}}}
	case 18:
		return event.Group{ID: h.noteID(), Events: []event.Event{h.unnoted()}}
	case 2:
		return event.Group{ID: id, Events: []event.Event{&event.Abandoned{Submitter: h.submitter()}}}
	case 3:
		return event.Group{ID: id, Events: []event.Event{&event.Renewed{Submitter: h.submitter()}}}
	case 4, 5:
		part := &event.BodyPart{Submitter: h.submitter(), N: uint32(rapid.IntRange(0, 2).Draw(h.t, "part")), Content: []byte("12345")}
		return event.Group{ID: id, Events: []event.Event{part}}
	case 6, 7, 8:
		return event.Group{ID: id, Events: []event.Event{h.accepted(id)}}
	}
	g := event.Group{ID: id}
	m, _ := Load(h.s, id)
	for range rapid.IntRange(1, 2).Draw(h.t, "events") {
		g.Events = append(g.Events, h.event(m))
	}
	if h.chance(30, "report") {
		report := h.accepted(h.id())
		report.Cause = id
		g.Events = append(g.Events, report)
	}
	return g
}

func (h *historian) id() mail.MessageID {
	return messageOf(rapid.IntRange(1, 6).Draw(h.t, "message"))
}

func (h *historian) note() string {
	return rapid.SampledFrom([]string{"a", "ab", "b"}).Draw(h.t, "note")
}

// noteID is mostly of no message.
func (h *historian) noteID() mail.MessageID {
	if h.chance(10, "a message's id") {
		return h.id()
	}
	return mail.NewMessageID(h.now, 1, [5]byte{1, 3: byte(rapid.IntRange(0, 255).Draw(h.t, "note id"))})
}

func (h *historian) unnoted() event.Event {
	e := &event.Unnoted{Key: h.note(), By: rapid.SampledFrom([]string{"", "op"}).Draw(h.t, "by")}
	if n, ok := notes.Get(h.s, e.Key); ok && h.chance(50, "by time") {
		e.Until = n.Until
	}
	return e
}

func messageOf(n int) mail.MessageID {
	return mail.NewMessageID(epoch.Add(time.Duration(n-3)*20*time.Hour), 1, [5]byte{4: byte(n)})
}

func (h *historian) submitter() event.Submitter {
	if h.chance(10, "other submitter") {
		return event.Submitter{Process: event.Process{Node: "n2", Boot: 1}}
	}
	return event.Submitter{Process: event.Process{Node: "n1", Boot: 1}}
}

func (h *historian) accepted(id mail.MessageID) *event.Accepted {
	a := &event.Accepted{ID: id, Submitter: h.submitter(), Due: h.due()}
	a.Envelope.Recipients = make([]mail.Recipient, rapid.SampledFrom([]int{1, 2, 3, 15, 17, 18, 33}).Draw(h.t, "recipients"))
	a.Digest[0] = byte(rapid.IntRange(1, 2).Draw(h.t, "digest"))
	if a.Parts = uint32(rapid.IntRange(0, 2).Draw(h.t, "parts")); a.Parts > 0 {
		a.Size = int64(a.Parts) * 5
		return a
	}
	a.Content = []byte("123")
	a.Size = 3
	return a
}

func (h *historian) due() time.Time {
	return h.now.Add(time.Duration(rapid.IntRange(0, 5).Draw(h.t, "due")) * time.Minute)
}

// event makes up what may become of a message; nil: of any.
func (h *historian) event(m *Message) event.Event {
	attempts, recipients := uint32(1), 3
	if m != nil {
		attempts, recipients = m.Attempts, len(m.Recipients)
	}
	list := rapid.SliceOfN(rapid.Uint32Range(0, uint32(recipients-1)), 1, 3).Draw(h.t, "list")
	switch {
	case h.chance(10, "the last") && recipients > roster.ChunkSize:
		list = []uint32{uint32(recipients - 1), roster.ChunkSize}
	case h.chance(20, "all"):
		list = list[:0]
		for n := range recipients {
			list = append(list, uint32(n))
		}
	}
	if h.chance(3, "malformed list") {
		list = append(list, 99)
	}
	number := rapid.Uint32Range(0, attempts).Draw(h.t, "number")
	attempt := event.Attempt{Number: number, Host: "mx", Reply: mail.Reply{Code: 450, Text: "so"}}
	kind := rapid.SampledFrom([]event.ErrorKind{event.ErrorNone, event.ErrorTimeout}).Draw(h.t, "error")
	process := event.Process{Node: "n1", Boot: 1}
	events := []event.Event{
		&event.Claimed{Number: attempts + 1, Recipients: list, By: process},
		&event.Claimed{Number: attempts + 1, Recipients: list[:1], By: process},
		&event.Claimed{Number: attempts + 1, Recipients: list[:1], By: process},
		&event.Returned{Number: number, Recipients: list, Due: h.due()},
		&event.Doubted{Number: number, Recipients: list, By: process, Hold: h.chance(20, "hold")},
		&event.Delivered{Recipients: list, Attempt: attempt},
		&event.Deferred{Recipients: list, Attempt: attempt, Error: kind, Due: h.due()},
		&event.Failed{Recipients: list, Attempt: attempt, Error: kind},
		&event.Expired{Recipients: list, Attempt: attempt, Error: kind},
		&event.Warned{Recipients: list, Step: number + 1},
		&event.Expanded{Recipient: list[0], Into: []event.Child{{Recipient: mail.Recipient{Original: "a"}}, {Item: "b"}}},
		&event.Held{By: "op"},
		&event.Released{By: "op"},
		&event.Released{By: "op"},
		&event.Resumed{By: "op"},
		&event.Retried{By: "op", Due: h.due()},
		&event.Removed{By: "op"},
		&event.Bounced{By: "op"},
		&event.Rerouted{By: "op", Hosts: []string{"h"}},
		&event.Edited{By: "op", Drop: list, Count: uint32(recipients)},
		&event.Edited{By: "op", Add: []event.Addition{{Instead: list[0] + 1}, {}}, Count: uint32(recipients)},
	}
	return events[rapid.IntRange(0, len(events)-1).Draw(h.t, "event")]
}
