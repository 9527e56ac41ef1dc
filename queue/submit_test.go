package queue

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"quorumta/cluster"
	"quorumta/internal/mail"
	"quorumta/queue/event"
	"quorumta/queue/state"
)

// trySubmit submits a message.
func (h *house) trySubmit(body []byte) (mail.MessageID, error) {
	u, err := h.Begin(h.t.Context(), received)
	if err != nil {
		return "", err
	}
	if _, err := u.Write(body); err != nil {
		u.Abort()
		return "", err
	}
	return u.Commit(submission("a@b.example"))
}

func (h *house) total() uint64 {
	h.t.Helper()
	totals, err := h.Count(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	return totals.Total
}

// PROTOCOL 19: an unknown outcome is asked after on the same shard; the message
// that was committed is not committed twice.
func TestAnUnknownOutcomeThatCommittedIsASuccess(t *testing.T) {
	h := open(t, 2, Options{})
	h.office()
	h.office()
	var lost atomic.Int32
	h.faults.set(func() {
		h.faults.propose = func(_ uint16, e event.Entry, next func() ([]cluster.Result, error)) ([]cluster.Result, error) {
			results, err := next()
			if has(e, event.KindAccepted) && lost.Add(1) <= 2 {
				return nil, cluster.ErrUnknownOutcome
			}
			return results, err
		}
	})
	id, err := h.trySubmit([]byte("x\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	if n := h.total(); n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
	if k := h.kinds(id); len(k) != 1 {
		t.Errorf("history %v", k)
	}
}

// PROTOCOL 19: the 451 is true, since Abandoned came first.
func TestAnUnknownOutcomeIsAbandonedInTheEnd(t *testing.T) {
	h := open(t, 1, Options{SubmitWait: 200 * time.Millisecond})
	h.office()
	var late []byte
	h.faults.set(func() {
		h.faults.propose = func(_ uint16, e event.Entry, next func() ([]cluster.Result, error)) ([]cluster.Result, error) {
			if has(e, event.KindAccepted) {
				late = event.Append(nil, e)
				return nil, cluster.ErrUnknownOutcome
			}
			return next()
		}
	})
	if _, err := h.trySubmit([]byte("x\r\n")); !errors.Is(err, ErrUnsettled) {
		t.Fatalf("err = %v, want ErrUnsettled", err)
	}
	h.faults.set(func() { h.faults.propose = nil })
	e, err := event.Decode(late)
	if err != nil {
		t.Fatal(err)
	}
	if v := h.propose(t.Context(), 1, e.Groups[0]); v.Result != state.Abandoned {
		t.Errorf("the late Accepted: %+v, want Abandoned", v)
	}
	if n := h.total(); n != 0 {
		t.Errorf("%d messages after 451", n)
	}
}

// The other order: Accepted came first, Abandoned finds it.
func TestAnAbandonedMessageThatWasAcceptedIsASuccess(t *testing.T) {
	h := open(t, 1, Options{SubmitWait: 200 * time.Millisecond})
	h.office()
	var abandoning atomic.Bool
	h.faults.set(func() {
		h.faults.propose = func(_ uint16, e event.Entry, next func() ([]cluster.Result, error)) ([]cluster.Result, error) {
			results, err := next()
			if has(e, event.KindAbandoned) {
				abandoning.Store(true)
			} else if !abandoning.Load() {
				return nil, cluster.ErrUnknownOutcome
			}
			return results, err
		}
	})
	if _, err := h.trySubmit([]byte("x\r\n")); err != nil {
		t.Fatal(err)
	}
	if !abandoning.Load() || h.total() != 1 {
		t.Error("not accepted once")
	}
}

func TestAMessageNobodyKnowsAboutIsUnsettled(t *testing.T) {
	h := open(t, 1, Options{SubmitWait: 100 * time.Millisecond})
	h.office()
	h.faults.set(func() {
		h.faults.propose = func(uint16, event.Entry, func() ([]cluster.Result, error)) ([]cluster.Result, error) {
			return nil, cluster.ErrUnknownOutcome
		}
	})
	if _, err := h.trySubmit([]byte("x\r\n")); !errors.Is(err, ErrUnsettled) {
		t.Errorf("err = %v", err)
	}
}

// What got 451 is not delivered when its shard is back, though it was
// committed.
func TestAnUnsettledMessageIsNeverSent(t *testing.T) {
	for _, committed := range []bool{true, false} {
		h := open(t, 1, Options{SubmitWait: 100 * time.Millisecond})
		o := h.office()
		var lost atomic.Bool
		lost.Store(true)
		h.faults.set(func() {
			h.faults.propose = func(_ uint16, e event.Entry, next func() ([]cluster.Result, error)) ([]cluster.Result, error) {
				if lost.Load() && committed && has(e, event.KindAccepted) {
					if _, err := next(); err != nil {
						t.Error(err)
					}
				}
				if lost.Load() {
					return nil, cluster.ErrUnknownOutcome
				}
				return next()
			}
		})
		if _, err := h.trySubmit([]byte("x\r\n")); !errors.Is(err, ErrUnsettled) {
			t.Fatalf("err = %v", err)
		}
		if rows := o.Due(state.DueRow{}, time.Now(), 10); len(rows) != 0 {
			t.Errorf("an unsettled message is due: %v", rows)
		}
		if committed != (h.total() == 1) {
			t.Errorf("committed %v, %d messages", committed, h.total())
		}
		lost.Store(false)
		eventually(t, "it is settled", func() bool { return len(h.unsettledIDs()) == 0 })
		if n := h.total(); n != 0 {
			t.Errorf("committed %v: %d messages are left", committed, n)
		}
	}
}

func (h *house) unsettledIDs() []mail.MessageID {
	h.unsettled.mu.Lock()
	defer h.unsettled.mu.Unlock()
	return slices.Collect(maps.Keys(h.unsettled.ids))
}

func TestAShardThatIsNotLedIsLeftForAnother(t *testing.T) {
	h := open(t, 2, Options{})
	h.office()
	h.office()
	h.faults.set(func() {
		h.faults.propose = func(shard uint16, _ event.Entry, next func() ([]cluster.Result, error)) ([]cluster.Result, error) {
			if shard == 1 {
				return nil, cluster.ErrNotLeader
			}
			return next()
		}
	})
	for range 4 {
		id, err := h.trySubmit([]byte("x\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		if id.Shard() != 2 {
			t.Errorf("%s is on shard %d", id, id.Shard())
		}
	}
}

// A large message turns to another shard in its midst, and arrives whole.
func TestALargeMessageTurnsToAnotherShard(t *testing.T) {
	h := open(t, 2, Options{})
	offices := map[uint16]*Office{}
	for range 2 {
		o := h.office()
		offices[o.Shard()] = o
	}
	var parts atomic.Int32
	h.faults.set(func() {
		h.faults.propose = func(shard uint16, e event.Entry, next func() ([]cluster.Result, error)) ([]cluster.Result, error) {
			if has(e, event.KindBodyPart) && parts.Add(1) > 2 && shard == 1 {
				return nil, cluster.ErrUnknownOutcome
			}
			return next()
		}
	})
	h.faults.set(func() { h.faults.accepting = map[uint16]error{2: cluster.ErrNotLeader} })
	u, err := h.Begin(t.Context(), received)
	if err != nil {
		t.Fatal(err)
	}
	h.faults.set(func() { h.faults.accepting = nil })
	body := bytes.Repeat([]byte("0123456789abcdef\r\n"), 100000)
	for chunk := range chunks(body, 50000) {
		if _, err := u.Write(chunk); err != nil {
			t.Fatal(err)
		}
	}
	id, err := u.Commit(submission("a@b.example"))
	if err != nil || id.Shard() != 2 {
		t.Fatalf("id %s on shard %d, %v", id, id.Shard(), err)
	}
	r, size, err := offices[2].Content(id)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if want := string(received(id)) + string(body); err != nil || string(b) != want || size != int64(len(want)) {
		t.Errorf("read %d bytes of %d, %v", len(b), len(want), err)
	}
	// What was streamed to the first shard is abandoned.
	late := time.After(5 * time.Second)
	for {
		var n state.Counts
		_ = h.view(1, func(r state.Reader) { n = state.Count(r) })
		if n.Uploads == 0 {
			break
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-late:
			t.Fatal("parts stay on the first shard")
		}
	}
}

func chunks(b []byte, n int) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(b) > 0 {
			k := min(n, len(b))
			if !yield(b[:k]) {
				return
			}
			b = b[k:]
		}
	}
}

func TestWithoutAShardNothingIsTaken(t *testing.T) {
	h := open(t, 2, Options{})
	h.office()
	h.office()
	for _, c := range []struct {
		name      string
		accepting map[uint16]error
		want      error
	}{
		{"no leader", map[uint16]error{1: cluster.ErrNotLeader, 2: cluster.ErrNotLeader}, ErrUnavailable},
		{"all full", map[uint16]error{1: cluster.ErrDiskFull, 2: cluster.ErrDiskFull}, ErrDiskFull},
		{"one full, one without leader", map[uint16]error{1: cluster.ErrDiskFull, 2: cluster.ErrNotLeader}, ErrUnavailable},
		{"one full", map[uint16]error{1: cluster.ErrDiskFull}, nil},
	} {
		h.faults.set(func() { h.faults.accepting = c.accepting })
		if err := h.Ready(); !errors.Is(err, c.want) {
			t.Errorf("%s: Ready is %v", c.name, err)
		}
		if _, err := h.Begin(t.Context(), received); !errors.Is(err, c.want) {
			t.Errorf("%s: Begin is %v", c.name, err)
		}
	}
}

// DESIGN 2.4: known before anything was proposed, 451 comes within 2 s.
func TestTheRefusalComesInTime(t *testing.T) {
	h := open(t, 2, Options{})
	h.office()
	h.office()
	u, err := h.Begin(t.Context(), received)
	if err != nil {
		t.Fatal(err)
	}
	h.faults.set(func() {
		h.faults.propose = func(uint16, event.Entry, func() ([]cluster.Result, error)) ([]cluster.Result, error) {
			return nil, cluster.ErrNotLeader
		}
	})
	began := time.Now()
	if _, err := u.Commit(submission("a@b.example")); !errors.Is(err, ErrUnavailable) {
		t.Errorf("err = %v", err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
}

// A collision of ids draws another one.
func TestACollisionOfIDsDrawsAnother(t *testing.T) {
	var draws atomic.Int32
	h := open(t, 1, Options{Rand: random(func(b []byte) {
		clear(b)
		b[0] = byte(max(0, draws.Add(1)-2)) // the second is as the first
	}), Now: func() time.Time { return time.Unix(1e9, 0) }})
	h.office()
	first, err := h.trySubmit([]byte("x\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := h.trySubmit([]byte("y\r\n"))
	if err != nil || first == second || h.total() != 2 {
		t.Errorf("%s and %s, %v", first, second, err)
	}
}

type random func([]byte)

func (r random) Read(b []byte) (int, error) {
	r(b)
	return len(b), nil
}

func TestAnUploadIsOverAfterCommitAndAbort(t *testing.T) {
	h := open(t, 1, Options{})
	h.office()
	for _, end := range []func(u *Upload){
		func(u *Upload) { u.Abort() },
		func(u *Upload) {
			if _, err := u.Commit(submission("a@b.example")); err != nil {
				t.Error(err)
			}
		},
	} {
		u, err := h.Begin(t.Context(), received)
		if err != nil {
			t.Fatal(err)
		}
		end(u)
		if _, err := u.Write([]byte("x")); err == nil || !strings.Contains(err.Error(), "over") {
			t.Errorf("a write after the end: %v", err)
		}
		u.Abort()
	}
	if h.total() != 1 {
		t.Error("not one message")
	}
}
