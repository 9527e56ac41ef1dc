package queue

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"quorumta/cluster"
	"quorumta/internal/mail"
	"quorumta/queue/attempt"
	"quorumta/queue/event"
	"quorumta/queue/office"
	"quorumta/queue/state"
)

// eventually waits until the condition holds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	late := time.After(10 * time.Second)
	for !condition() {
		select {
		case <-time.After(2 * time.Millisecond):
		case <-late:
			t.Fatal("never: " + what)
		}
	}
}

// phase is where a recipient of an open message is.
func phase(t *testing.T, o *Office, id mail.MessageID, n int) state.Recipient {
	t.Helper()
	m, ok := o.Message(id)
	if !ok {
		t.Fatalf("%s is not open", id)
	}
	return m.Recipients[n]
}

// STYLE: decisions that wait while an entry is under way share the next one.
func TestClaimsOfManyGoroutinesShareEntries(t *testing.T) {
	h := open(t, 1, Options{})
	o := h.office()
	const count = 50
	var ids []mail.MessageID
	for range count {
		ids = append(ids, h.submit([]byte("x\r\n"), "a@b.example"))
	}
	gate, first := make(chan struct{}), make(chan struct{}, count)
	h.faults.set(func() {
		h.faults.entries = nil
		h.faults.propose = func(_ uint16, _ event.Entry, next func() ([]cluster.Result, error)) ([]cluster.Result, error) {
			first <- struct{}{}
			<-gate
			return next()
		}
	})
	var wg sync.WaitGroup
	claim := func(id mail.MessageID) {
		if _, err := o.Claim(t.Context(), id, []uint32{0}); err != nil {
			t.Error(err)
		}
	}
	wg.Go(func() { claim(ids[0]) })
	<-first
	for _, id := range ids[1:] {
		wg.Go(func() { claim(id) })
	}
	// All of them are in the overlay when their groups wait in the lane.
	eventually(t, "all claims wait", func() bool { return len(o.Due(state.DueRow{}, time.Now(), count)) == 0 })
	close(gate)
	wg.Wait()
	h.faults.set(func() {
		if n := len(h.faults.entries); n != 2 {
			t.Errorf("%d entries for %d claims, want 2", n, count)
		}
	})
}

// PROTOCOL 18: several attempts at one message are numbered ahead of folding.
func TestAttemptsAtOneMessageAreClaimedTogether(t *testing.T) {
	h := open(t, 1, Options{})
	o := h.office()
	id := h.submit([]byte("x\r\n"), "a@b.example", "c@d.example", "e@f.example")
	var wg sync.WaitGroup
	numbers := make([]uint32, 3)
	for i := range numbers {
		wg.Go(func() {
			c, err := o.Claim(t.Context(), id, []uint32{uint32(i)})
			if err != nil {
				t.Error(err)
			}
			numbers[i] = c.Number
		})
	}
	wg.Wait()
	slices.Sort(numbers)
	if !slices.Equal(numbers, []uint32{1, 2, 3}) {
		t.Errorf("numbers %v", numbers)
	}
}

func TestOutOfOfficeNothingIsClaimedOrSent(t *testing.T) {
	h := open(t, 1, Options{})
	o := h.office()
	id := h.submit([]byte("x\r\n"), "a@b.example", "c@d.example")
	c, err := o.Claim(t.Context(), id, []uint32{0})
	if err != nil {
		t.Fatal(err)
	}
	h.desk.leave(1)
	if err := o.MaySend(c); !errors.Is(err, ErrNotInOffice) {
		t.Errorf("MaySend: %v", err)
	}
	if _, err := o.Claim(t.Context(), id, []uint32{1}); !errors.Is(err, ErrNotInOffice) {
		t.Errorf("Claim: %v", err)
	}
	if k := h.attempts.Ask(c.Key()); k != attempt.Unsent {
		t.Errorf("a refused dot counts as sent: %d", k)
	}
}

func TestTheLastLookRefusesWhatIsStale(t *testing.T) {
	h := open(t, 1, Options{})
	o := h.office()
	id := h.submit([]byte("x\r\n"), "a@b.example", "c@d.example")
	c, err := o.Claim(t.Context(), id, []uint32{0, 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, stale := range []Claim{
		{ID: id, Number: 2, Recipients: []uint32{0}},
		{ID: id, Number: 1, Recipients: []uint32{9}},
		{ID: id, Number: 1},
		{ID: "06h0gs1jkg01jze30d67", Number: 1, Recipients: []uint32{0}},
	} {
		if err := o.MaySend(stale); !errors.Is(err, ErrStale) {
			t.Errorf("%+v: %v", stale, err)
		}
	}
	// A new leader was told that nothing was sent.
	h.attempts.Ask(c.Key())
	if err := o.MaySend(c); !errors.Is(err, ErrStale) {
		t.Errorf("a revoked attempt: %v", err)
	}
	if err := h.Operate(t.Context(), ActRemove, id, "op", "test"); err != nil {
		t.Fatal(err)
	}
	if err := o.MaySend(c); !errors.Is(err, ErrStale) {
		t.Errorf("a removed message: %v", err)
	}
}

func TestAClaimWhoseCallerWentAwayIsReturned(t *testing.T) {
	h := open(t, 1, Options{})
	o := h.office()
	id := h.submit([]byte("x\r\n"), "a@b.example")
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan struct{})
	h.faults.set(func() {
		h.faults.propose = func(_ uint16, e event.Entry, next func() ([]cluster.Result, error)) ([]cluster.Result, error) {
			if has(e, event.KindClaimed) {
				cancel()
				<-gone
			}
			return next()
		}
	})
	if _, err := o.Claim(ctx, id, []uint32{0}); !errors.Is(err, context.Canceled) {
		t.Fatalf("err = %v", err)
	}
	close(gone)
	eventually(t, "it is returned", func() bool {
		return slices.Equal(h.kinds(id), []event.Kind{event.KindAccepted, event.KindClaimed, event.KindReturned})
	})
	waitDue(t, o, 1)
}

// claimFor claims for a process that is not this one.
func (h *house) claimFor(o *Office, p event.Process, id mail.MessageID) {
	h.t.Helper()
	claimed := &event.Claimed{Number: 1, Recipients: []uint32{0}, By: p}
	if v := h.propose(h.t.Context(), 1, event.Group{ID: id, Events: []event.Event{claimed}}); !v.Result.OK() {
		h.t.Fatalf("%+v", v)
	}
}

// settler is an office like o that does no chores but when it is told to.
func (h *house) settler(o *Office) *Office {
	s := office.New(h.Queue.offices, o.Shard(), o.Term())
	h.t.Cleanup(s.End)
	return s
}

// PROTOCOL 33, case by case.
func TestOldClaimsAreSettled(t *testing.T) {
	there := event.Process{Node: "n2", Boot: 7}
	answer := func(boot uint64, k ...attempt.Knowledge) func(string, string, []byte) ([]byte, error) {
		return func(node, method string, request []byte) ([]byte, error) {
			if node != "n2" || method != attempt.Method {
				return nil, cluster.ErrUnreachable
			}
			return json.Marshal(attempt.Answer{Boot: boot, Known: k})
		}
	}
	for _, c := range []struct {
		name   string
		call   func(string, string, []byte) ([]byte, error)
		hold   bool
		ends   event.Kind
		within time.Duration
	}{
		{"not sent", answer(7, attempt.Unsent), false, event.KindReturned, 0},
		{"sent, and nobody reports it", answer(7, attempt.Lost), false, event.KindDoubted, 0},
		{"another boot", answer(8), false, event.KindDoubted, 0},
		{"another boot, doubts are held", answer(8), true, event.KindDoubted, 0},
		{"silence", nil, false, event.KindDoubted, time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := open(t, 1, Options{HoldDoubts: c.hold})
			o := h.office()
			id := h.submit([]byte("x\r\n"), "a@b.example")
			h.faults.set(func() { h.faults.call = c.call })
			h.claimFor(o, there, id)
			began := time.Now()
			s := h.settler(o)
			eventually(t, "settled", func() bool {
				s.Settle(t.Context())
				return phase(t, o, id, 0).Phase == state.Pending
			})
			if took := time.Since(began); took < c.within {
				t.Errorf("settled after %v, before %v", took, c.within)
			}
			if k := h.kinds(id); k[len(k)-1] != c.ends {
				t.Errorf("history %v", k)
			}
			if m, _ := o.Message(id); m.Held != c.hold {
				t.Errorf("held: %v", m.Held)
			}
		})
	}
}

// PROTOCOL 33: sent and waiting is left alone while the process answers.
func TestAWaitingProcessIsLeftAlone(t *testing.T) {
	h := open(t, 1, Options{})
	o := h.office()
	id := h.submit([]byte("x\r\n"), "a@b.example")
	h.faults.set(func() {
		h.faults.call = func(string, string, []byte) ([]byte, error) {
			return json.Marshal(attempt.Answer{Boot: 7, Known: []attempt.Knowledge{attempt.Waiting}})
		}
	})
	h.claimFor(o, event.Process{Node: "n2", Boot: 7}, id)
	if wait := h.settler(o).Settle(t.Context()); wait != time.Second {
		t.Errorf("asked again after %v", wait)
	}
	if phase(t, o, id, 0).Phase != state.InFlight {
		t.Error("not left alone")
	}
	// It reports the outcome itself, through whoever leads.
	err := h.Resolve(t.Context(), Outcome{ID: id, Events: []event.Event{
		&event.Delivered{Recipients: []uint32{0}, Attempt: event.Attempt{Number: 1}}}})
	if _, open := o.Message(id); err != nil || open {
		t.Errorf("not closed: %v", err)
	}
}

// A claim of this office that is in nobody's hands comes back.
func TestAnOrphanedClaimIsReturned(t *testing.T) {
	h := open(t, 1, Options{})
	o := h.office()
	id := h.submit([]byte("x\r\n"), "a@b.example")
	h.claimFor(o, h.self, id)
	h.settler(o).Settle(t.Context())
	waitDue(t, o, 1)
}

// A verdict that is not put on record is given again soon, not at the next
// look for idle claims.
func TestAVerdictThatIsRefusedIsGivenAgainSoon(t *testing.T) {
	h := open(t, 1, Options{})
	o := h.office()
	id := h.submit([]byte("x\r\n"), "a@b.example")
	h.claimFor(o, h.self, id)
	h.faults.set(func() {
		h.faults.propose = func(uint16, event.Entry, func() ([]cluster.Result, error)) ([]cluster.Result, error) {
			return nil, cluster.ErrNotLeader
		}
	})
	if wait := h.settler(o).Settle(t.Context()); wait > 100*time.Millisecond {
		t.Errorf("given again after %v", wait)
	}
}

func TestAnsweringANewLeader(t *testing.T) {
	h := open(t, 1, Options{})
	sent, unsent := Claim{ID: "a", Number: 1}, Claim{ID: "a", Number: 2}
	h.attempts.Begin(sent.Key(), []uint32{0})
	h.attempts.Begin(unsent.Key(), []uint32{1})
	h.attempts.Send(sent.Key())
	ask := attempt.Question{Boot: h.self.Boot, Attempts: []attempt.Named{{ID: "a", Number: 1}, {ID: "a", Number: 2}, {ID: "b", Number: 1}}}
	k, err := h.serveAttempts(t.Context(), ask)
	if want := []attempt.Knowledge{attempt.Waiting, attempt.Unsent, attempt.Unsent}; err != nil || !slices.Equal(k.Known, want) {
		t.Errorf("%v, %v", k.Known, err)
	}
	ask.Boot++
	if k, err = h.serveAttempts(t.Context(), ask); err != nil || k.Boot != h.self.Boot || k.Known != nil {
		t.Errorf("asked after another boot: %+v, %v", k, err)
	}
}

// PROTOCOL 13: damaged content is held, never sent and never bounced.
func TestDamagedContentIsHeld(t *testing.T) {
	for _, parts := range []uint32{0, 1} {
		h := open(t, 1, Options{})
		o := h.office()
		id, s := h.draw(1), h.submitter()
		a := &event.Accepted{ID: id, Submitter: s, Envelope: submission("a@b.example").Envelope, Size: 3, Parts: parts, Digest: [32]byte{1}}
		if parts == 0 {
			a.Content = []byte("abc")
		} else {
			part := &event.BodyPart{Submitter: s, Content: []byte("abc")}
			h.propose(t.Context(), 1, event.Group{ID: id, Events: []event.Event{part}})
		}
		if v := h.propose(t.Context(), 1, event.Group{ID: id, Events: []event.Event{a}}); !v.Result.OK() {
			t.Fatalf("%+v", v)
		}
		r, _, err := o.Content(id)
		if parts > 0 && err == nil {
			var b []byte
			b, err = io.ReadAll(r)
			if len(b) != 0 {
				t.Errorf("damaged content was given out: %q", b)
			}
		}
		if !errors.Is(err, ErrDamaged) {
			t.Errorf("parts %d: err = %v", parts, err)
		}
		eventually(t, "held", func() bool { m, ok := o.Message(id); return ok && m.Held })
	}
}

func TestContentOfNoMessage(t *testing.T) {
	h := open(t, 1, Options{})
	o := h.office()
	if _, _, err := o.Content(h.draw(1)); !errors.Is(err, ErrNotFound) {
		t.Errorf("err = %v", err)
	}
}

func TestResolveTriesUntilItIsRecorded(t *testing.T) {
	h := open(t, 1, Options{})
	o := h.office()
	id := h.submit([]byte("x\r\n"), "a@b.example")
	c, err := o.Claim(t.Context(), id, []uint32{0})
	if err != nil {
		t.Fatal(err)
	}
	errs := []error{cluster.ErrNotLeader, cluster.ErrUnknownOutcome, cluster.ErrStopped}
	var tries atomic.Int32
	h.faults.set(func() {
		h.faults.propose = func(_ uint16, _ event.Entry, next func() ([]cluster.Result, error)) ([]cluster.Result, error) {
			if n := int(tries.Add(1)); n <= len(errs) {
				return nil, errs[n-1]
			}
			return next()
		}
	})
	delivered := Outcome{ID: id, Events: []event.Event{&event.Delivered{Recipients: []uint32{0}, Attempt: event.Attempt{Number: c.Number}}}}
	if err := h.Resolve(t.Context(), delivered); err != nil {
		t.Fatal(err)
	}
	if err := h.Resolve(t.Context(), delivered); err != nil {
		t.Errorf("a refused outcome is an error: %v", err)
	}
	if _, open := o.Message(id); open || h.attempts.Len() != 0 {
		t.Error("not recorded")
	}
}

func TestAnOutcomeThatCannotBeRecordedIsLost(t *testing.T) {
	h := open(t, 1, Options{})
	o := h.office()
	id := h.submit([]byte("x\r\n"), "a@b.example")
	c, err := o.Claim(t.Context(), id, []uint32{0})
	if err != nil {
		t.Fatal(err)
	}
	if err := o.MaySend(c); err != nil {
		t.Fatal(err)
	}
	h.faults.set(func() {
		h.faults.propose = func(uint16, event.Entry, func() ([]cluster.Result, error)) ([]cluster.Result, error) {
			return nil, cluster.ErrNotLeader
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err = h.Resolve(ctx, Outcome{ID: id, Events: []event.Event{&event.Delivered{Recipients: []uint32{0}, Attempt: event.Attempt{Number: c.Number}}}})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("err = %v", err)
	}
	if k := h.attempts.Ask(c.Key()); k != attempt.Lost {
		t.Errorf("knowledge %d, want Lost", k)
	}
}

// PROTOCOL 20: a clock that is off lets nothing expire and warns nobody.
func TestAnUntrustedClockLetsNothingExpire(t *testing.T) {
	h := open(t, 1, Options{})
	o := h.office()
	eventually(t, "the clock is compared for the first time", h.clock.Guard.Compared)
	h.clock.Guard.Compare([]time.Duration{time.Hour, time.Hour}, 3)
	if h.ClockTrusted() {
		t.Fatal("trusted")
	}
	id := h.submit([]byte("x\r\n"), "a@b.example")
	c, err := o.Claim(t.Context(), id, []uint32{0})
	if err != nil {
		t.Fatal(err)
	}
	err = h.Resolve(t.Context(), Outcome{ID: id, Events: []event.Event{
		&event.Expired{Recipients: []uint32{0}, Attempt: event.Attempt{Number: c.Number}, Error: event.ErrorConnect},
		&event.Warned{Recipients: []uint32{0}, Step: 1},
	}, Report: &event.Accepted{Envelope: submission("from@a.example").Envelope, Content: []byte("x")}})
	if err != nil {
		t.Fatal(err)
	}
	if r := phase(t, o, id, 0); r.Phase != state.Pending || r.Warned != 0 || h.total() != 1 {
		t.Errorf("%+v", r)
	}
	if err := h.Resolve(t.Context(), Outcome{ID: id, Events: []event.Event{&event.Warned{Recipients: []uint32{0}, Step: 1}}}); err != nil {
		t.Error(err)
	}
	if r := phase(t, o, id, 0); r.Warned != 0 {
		t.Error("warned")
	}
}

// Who failed in the report that is put off fails when the report can be sent.
func TestAnUntrustedClockLetsNobodyFailUnreported(t *testing.T) {
	h := open(t, 1, Options{})
	o := h.office()
	eventually(t, "the clock is compared for the first time", h.clock.Guard.Compared)
	h.clock.Guard.Compare([]time.Duration{time.Hour, time.Hour}, 3)
	for reported, want := range map[bool]state.Phase{true: state.Pending, false: state.Failed} {
		id := h.submit([]byte("x\r\n"), "a@b.example", "b@b.example")
		c, err := o.Claim(t.Context(), id, []uint32{0, 1})
		if err != nil {
			t.Fatal(err)
		}
		outcome := Outcome{ID: id, Events: []event.Event{
			&event.Failed{Recipients: []uint32{0}, Attempt: event.Attempt{Number: c.Number}},
			&event.Expired{Recipients: []uint32{1}, Attempt: event.Attempt{Number: c.Number}, Error: event.ErrorConnect},
		}}
		if reported {
			outcome.Report = &event.Accepted{Envelope: submission("from@a.example").Envelope, Content: []byte("x")}
		}
		if err := h.Resolve(t.Context(), outcome); err != nil {
			t.Fatal(err)
		}
		if r := phase(t, o, id, 0); r.Phase != want {
			t.Errorf("a report is owed: %t; the failed recipient is %v", reported, r.Phase)
		}
		if r := phase(t, o, id, 1); r.Phase != state.Pending {
			t.Errorf("a report is owed: %t; the expired recipient is %v", reported, r.Phase)
		}
	}
}

func TestOutcomesThatMakeNoSense(t *testing.T) {
	h := open(t, 1, Options{})
	h.office()
	id := h.submit([]byte("x\r\n"), "a@b.example")
	if err := h.Resolve(t.Context(), Outcome{ID: id, Events: []event.Event{&event.Delivered{Recipients: []uint32{7}}}}); err == nil {
		t.Error("a recipient that does not exist was delivered to")
	}
	large := &event.Accepted{Content: make([]byte, event.MaxPart+1)}
	if err := h.Resolve(t.Context(), Outcome{ID: id, Report: large}); err == nil {
		t.Error("a report too large for a group is taken")
	}
}

func TestUnfinishedUploadsAreSweptAndHistoryPruned(t *testing.T) {
	h := open(t, 1, Options{UploadTimeout: 100 * time.Millisecond})
	o := h.office()
	u, err := h.Begin(t.Context(), received)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Abort()
	if _, err := u.Write(make([]byte, 2*event.MaxPart)); err != nil {
		t.Fatal(err)
	}
	uploads := func() uint64 {
		var n state.Counts
		_ = h.view(o.Shard(), func(r state.Reader) { n = state.Count(r) })
		return n.Uploads
	}
	eventually(t, "swept", func() bool { return uploads() == 0 })
	pruned := func(now time.Time) int {
		events := o.Outdated(now)
		return len(slices.DeleteFunc(events, func(ev event.Event) bool { return ev.Kind() != event.KindPruned }))
	}

	id := h.submit([]byte("x\r\n"), "a@b.example")
	if err := h.Operate(t.Context(), ActRemove, id, "op", ""); err != nil {
		t.Fatal(err)
	}
	if n := pruned(h.now().Add(time.Minute)); n != 0 {
		t.Errorf("%d days are pruned too early", n)
	}
	if n := pruned(h.now().Add(72 * time.Hour)); n != 1 {
		t.Errorf("%d days are pruned after three days, want 1", n)
	}
}
