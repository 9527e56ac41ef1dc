package lane

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"quorumta/internal/mail"
	"quorumta/queue/event"
	"quorumta/queue/state/verdict"
)

// harness collects the entries of a lane; each waits for the gate.
type harness struct {
	running sync.WaitGroup
	gate    chan struct{}
	mu      sync.Mutex
	entries [][]Waiting
}

func (h *harness) spawn(f func()) bool {
	h.running.Go(f)
	return true
}

func (h *harness) commit(batch []Waiting) {
	<-h.gate
	h.mu.Lock()
	h.entries = append(h.entries, batch)
	h.mu.Unlock()
	for _, w := range batch {
		w.Settled(Verdict{Result: verdict.Applied})
	}
}

func TestAnEntryIsBoundedAndKeepsTheOrder(t *testing.T) {
	h := &harness{gate: make(chan struct{})}
	l := New(1, h.spawn, h.commit)
	settled := 0
	add := func(ev event.Event) {
		l.Add(event.Group{ID: mail.MessageID(rune('a')), Events: []event.Event{ev}}, func(v Verdict) {
			if !v.Definite() {
				t.Error("no verdict")
			}
			settled++
		})
	}
	for range 2*MostGroups + 2 {
		add(&event.Released{})
	}
	for range 3 {
		add(&event.BodyPart{Content: make([]byte, event.MaxPart)})
	}
	close(h.gate)
	h.running.Wait()
	if settled != 2*MostGroups+5 {
		t.Errorf("%d settled", settled)
	}
	for _, e := range h.entries {
		if len(e) > MostGroups {
			t.Errorf("%d groups in an entry", len(e))
		}
		if _, part := e[0].Group.Events[0].(*event.BodyPart); part && len(e) > 1 {
			t.Errorf("%d parts in an entry", len(e))
		}
	}
}

func TestALaneThatIsFullOrClosedRefuses(t *testing.T) {
	h := &harness{gate: make(chan struct{})}
	l := New(1, h.spawn, h.commit)
	var refused []Verdict
	refuse := func(v Verdict) { refused = append(refused, v) }
	for range mostWaiting + 2*MostGroups {
		if err := l.Enqueue(Waiting{event.Group{Events: []event.Event{&event.Released{}}}, func(Verdict) {}}); err != nil {
			if !errors.Is(err, ErrBusy) {
				t.Fatal(err)
			}
			break
		}
	}
	l.Add(event.Group{}, refuse)
	l.Close()
	l.Add(event.Group{}, refuse)
	close(h.gate)
	h.running.Wait()
	if len(refused) != 2 || !refused[0].NotProposed() || !errors.Is(refused[1].Err, ErrNoOffice) {
		t.Errorf("refused: %v", refused)
	}
	none := New(1, func(func()) bool { return false }, h.commit)
	if err := none.Enqueue(Waiting{}); !errors.Is(err, ErrNoOffice) {
		t.Errorf("err = %v", err)
	}
}

func TestWhatAVerdictSays(t *testing.T) {
	late := Verdict{Result: verdict.Late}
	if late.Definite() || late.NotProposed() || late.Error() == nil {
		t.Error("a late group may be decided again")
	}
	if v := (Verdict{Err: errors.New("x")}); v.Definite() || v.Error().Error() != "x" {
		t.Error("an unknown outcome is definite")
	}
}

// What waits is bounded in bytes, too; what has been taken counts no more.
func TestWhatWaitsIsBoundedInBytes(t *testing.T) {
	h := &harness{gate: make(chan struct{})}
	l := New(1, h.spawn, h.commit)
	var mu sync.Mutex
	settled := 0
	fact := Waiting{event.Group{Events: []event.Event{&event.Released{}}}, func(Verdict) {}}
	part := Waiting{
		Group: event.Group{ID: "a", Events: []event.Event{&event.BodyPart{Content: make([]byte, event.MaxPart)}}},
		Settled: func(Verdict) {
			mu.Lock()
			defer mu.Unlock()
			settled++
		},
	}
	taken := 0
	for l.Enqueue(part) == nil {
		taken++
	}
	if most := mostHeavy/4*3/event.MaxPart + 1; taken < most-2 || taken > most {
		t.Errorf("%d parts are taken, want about %d", taken, most)
	}
	if err := l.Enqueue(part); !errors.Is(err, ErrBusy) {
		t.Errorf("err = %v", err)
	}
	if err := l.Enqueue(fact); err != nil {
		t.Errorf("what became of mail has no way into the log: %v", err)
	}
	close(h.gate)
	h.running.Wait()
	if settled != taken {
		t.Errorf("%d of %d settled", settled, taken)
	}
	if err := l.Enqueue(part); err != nil {
		t.Error(err)
	}
	h.running.Wait()
	if l.heavy != 0 {
		t.Errorf("%d bytes wait", l.heavy)
	}
}

// While an entry is under way others wait and share the next one; what fills
// an entry does not wait.
func TestOnlyFullEntriesGoBesideOthers(t *testing.T) {
	const flights = 4
	h := &harness{gate: make(chan struct{})}
	l := New(flights, h.spawn, h.commit)
	add := func(ev event.Event) {
		l.Add(event.Group{ID: "a", Events: []event.Event{ev}}, func(Verdict) {})
	}
	flying := func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.flying
	}
	for range 20 {
		add(&event.Released{})
	}
	if n := flying(); n != 1 {
		t.Errorf("%d entries under way for a few small groups", n)
	}
	for range 2 * flights {
		add(&event.BodyPart{Content: make([]byte, event.MaxPart)})
	}
	if n := flying(); n != flights {
		t.Errorf("%d entries under way for %d parts, want %d", n, 2*flights, flights)
	}
	close(h.gate)
	h.running.Wait()
	if n := flying(); n != 0 {
		t.Errorf("%d entries under way when nothing waits", n)
	}
}

// Claims and outcomes wait for one another, but not for long, not when they are
// many, and not when there is new mail: that takes them along.
func TestClaimsAndOutcomesWaitForCompany(t *testing.T) {
	claim, outcome, mail := &event.Claimed{}, &event.Delivered{}, &event.Accepted{}
	for _, c := range []struct {
		name    string
		waiting []event.Event
		after   time.Duration
		groups  int
	}{
		{"one", []event.Event{claim}, patience, 1},
		{"few", []event.Event{claim, outcome, claim}, patience, 3},
		{"mail", []event.Event{mail}, 0, 1},
		{"few with mail", []event.Event{claim, outcome, mail}, 0, 3},
		{"an operator", []event.Event{outcome, &event.Removed{}}, 0, 2},
		{"many", slices.Repeat([]event.Event{claim}, enough), 0, enough},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &harness{gate: make(chan struct{})}
				close(h.gate)
				l := New(1, h.spawn, h.commit)
				began, settled := time.Now(), 0
				for _, ev := range c.waiting {
					l.Add(event.Group{ID: "a", Events: []event.Event{ev}}, func(Verdict) {
						settled++
						if took := time.Since(began); took != c.after {
							t.Errorf("settled after %v, want %v", took, c.after)
						}
					})
				}
				time.Sleep(2 * patience)
				synctest.Wait()
				if settled != c.groups || len(h.entries) != 1 {
					t.Errorf("%d of %d settled, by %d entries", settled, c.groups, len(h.entries))
				}
			})
		})
	}
}

// What lands while nobody but the patient waits lets them be patient; a lane that
// is closed refuses them.
func TestPatientOnesOutliveAnEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &harness{gate: make(chan struct{})}
		l := New(1, h.spawn, h.commit)
		add := func(ev event.Event) *Verdict {
			v := new(Verdict)
			l.Add(event.Group{ID: "a", Events: []event.Event{ev}}, func(got Verdict) { *v = got })
			return v
		}
		first := add(&event.Accepted{})
		synctest.Wait()
		outcome := add(&event.Delivered{})
		h.gate <- struct{}{}
		synctest.Wait()
		if !first.Definite() || len(h.entries) != 1 || len(h.entries[0]) != 1 {
			t.Fatalf("%v, entries %v", first, h.entries)
		}
		close(h.gate)
		time.Sleep(patience)
		synctest.Wait()
		if len(h.entries) != 2 || outcome.Result != verdict.Applied {
			t.Errorf("%v, %d entries", outcome, len(h.entries))
		}
		last := add(&event.Claimed{})
		l.Close()
		if !errors.Is(last.Err, ErrNoOffice) {
			t.Errorf("refused with %v", last.Err)
		}
		time.Sleep(2 * patience)
		synctest.Wait()
		if len(h.entries) != 2 {
			t.Error("a closed lane proposes")
		}
	})
}
