package queue

import (
	"sync/atomic"
	"testing"
	"time"

	"quorumta/queue/event"
	"quorumta/queue/state"
)

// PROTOCOL 20: stamps never go back, so one from a clock that jumped would put
// off all that comes after it, on every node, until real time has come there.
func TestAClockThatJumpsPutsNothingOff(t *testing.T) {
	var ahead atomic.Int64
	h := open(t, 1, Options{Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }})
	o := h.office()
	h.submit([]byte("before\r\n"), "a@b.example")
	ahead.Store(int64(24 * time.Hour))
	h.submit([]byte("meanwhile\r\n"), "a@b.example")
	ahead.Store(0)
	h.submit([]byte("after\r\n"), "a@b.example")
	if rows := o.Due(state.DueRow{}, time.Now().Add(time.Second), 10); len(rows) != 3 {
		t.Errorf("%d of 3 messages are due", len(rows))
	}
}

// PROTOCOL 20: a clock that jumps ahead bounces nobody, warns nobody, and
// forgets nothing, until it is right again.
func TestAClockThatJumpsEndsNothing(t *testing.T) {
	var ahead, readings atomic.Int64
	h := open(t, 1, Options{UploadTimeout: 4 * time.Second, Now: func() time.Time {
		readings.Add(1)
		return time.Now().Add(time.Duration(ahead.Load()))
	}})
	o := h.office()
	old := h.submit([]byte("x\r\n"), "a@b.example")
	if err := h.Operate(t.Context(), ActRemove, old, "op", ""); err != nil {
		t.Fatal(err)
	}
	u, err := h.Begin(t.Context(), received)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Abort()
	if _, err := u.Write(make([]byte, 2*event.MaxPart)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a part is recorded", func() bool {
		var n state.Counts
		_ = h.view(1, func(r state.Reader) { n = state.Count(r) })
		return n.Uploads == 1
	})
	id := h.submit([]byte("x\r\n"), "a@b.example")
	c, err := o.Claim(t.Context(), id, []uint32{0})
	if err != nil {
		t.Fatal(err)
	}
	ahead.Store(int64(30 * 24 * time.Hour))
	if h.ClockTrusted() {
		t.Fatal("trusted")
	}
	for _, ev := range []event.Event{
		&event.Warned{Recipients: []uint32{0}, Step: 1},
		&event.Expired{Recipients: []uint32{0}, Attempt: event.Attempt{Number: c.Number}, Error: event.ErrorConnect},
	} {
		if err := h.Resolve(t.Context(), Outcome{ID: id, Events: []event.Event{ev}}); err != nil {
			t.Fatal(err)
		}
	}
	if r := phase(t, o, id, 0); r.Phase != state.Pending || r.Warned != 0 {
		t.Errorf("%+v", r)
	}
	// By this clock the upload and the history are too old; a sweep looks at it
	// each second.
	if n := len(o.Outdated(h.now())); n < 2 {
		t.Fatalf("%d things are outdated, want an upload and a day", n)
	}
	at := readings.Load()
	eventually(t, "it was swept several times", func() bool { return readings.Load() > at+4 })
	h.faults.set(func() {
		for _, e := range h.faults.entries {
			for _, kind := range []event.Kind{event.KindExpired, event.KindWarned, event.KindPruned, event.KindSwept} {
				if has(e, kind) {
					t.Errorf("%s was proposed", kind)
				}
			}
		}
	})
}
