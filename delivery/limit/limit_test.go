package limit

import (
	"slices"
	"testing"
	"time"
)

// sent is when messages went, of a node that always has some.
func sent(r *Rule, part func(time.Duration) Part, recipients int, lasts time.Duration) []time.Duration {
	var p Pace
	var all []time.Duration
	begin := time.Unix(1_700_000_000, 0)
	for at := time.Duration(0); at < lasts; {
		wait, ok := p.Take(r, part(at), recipients, begin.Add(at), 2*time.Second)
		if !ok {
			at += 100 * time.Millisecond
			continue
		}
		at += wait
		all = append(all, at)
	}
	return all
}

// most is the most in any stretch of the length.
func most(all []time.Duration, stretch time.Duration) int {
	top := 0
	for from := range all {
		to := from
		for to < len(all) && all[to]-all[from] < stretch {
			to++
		}
		top = max(top, to-from)
	}
	return top
}

// A rate is kept in every stretch of its period, and nearly used up.
func TestARateIsKeptInEveryStretch(t *testing.T) {
	alone := func(time.Duration) Part { return Part{1, 3} }
	tests := []struct {
		rule       Rule
		recipients int
		period     time.Duration
		least, top int
	}{
		{Rule{MessagesPerMinute: 100}, 1, time.Minute, 94, 100},
		{Rule{MessagesPerMinute: 100}, 50, time.Minute, 94, 100},
		{Rule{MessagesPerMinute: 1}, 1, time.Minute, 0, 2},
		{Rule{MessagesPerMinute: 1000, MessagesPerHour: 600}, 1, time.Hour, 560, 600},
		{Rule{RecipientsPerMinute: 100}, 10, time.Minute, 9, 10},
		{Rule{RecipientsPerMinute: 100}, 500, 10 * time.Minute, 1, 3},
	}
	for _, tt := range tests {
		all := sent(&tt.rule, alone, tt.recipients, 3*tt.period)
		if got := most(all, tt.period); got > tt.top || len(all) < 3*tt.least {
			t.Errorf("%+v: %d in a stretch, %d in all", tt.rule, got, len(all))
		}
	}
}

// Nodes whose parts change hands keep it together.
func TestPartsThatChangeHands(t *testing.T) {
	r := &Rule{MessagesPerMinute: 100}
	var together []time.Duration
	for node := range 3 {
		part := func(at time.Duration) Part {
			// For 20 s one node has all, then each a third.
			switch turn := int(at/(10*time.Second)) % 6; {
			case turn < 2 && node == 0, turn == 2 && node == 1:
				return Part{1, 3}
			case turn >= 3:
				return Part{1.0 / 3, 3}
			}
			return Part{0, 3}
		}
		together = append(together, sent(r, part, 1, 10*time.Minute)...)
	}
	if n := len(together); n < 900 {
		t.Errorf("%d in ten minutes", n)
	}
	slices.Sort(together)
	if got := most(together, time.Minute); got > 105 {
		t.Errorf("%d in a minute", got)
	}
}

// What is not ready is not taken, and nothing is taken of one rate where another
// says no.
func TestReadyTellsWhatTakeDoes(t *testing.T) {
	var p Pace
	r, part, now := &Rule{MessagesPerMinute: 60, RecipientsPerMinute: 600}, Part{1, 1}, time.Unix(1_700_000_000, 0)
	for range 3 {
		p.Take(r, part, 1, now, time.Second)
	}
	if p.Ready(r, part, now, time.Second) {
		t.Error("ready after what may come at once")
	}
	if _, ok := p.Take(r, part, 1, now, time.Second); ok {
		t.Error("taken beyond patience")
	}
	if !p.Ready(r, part, now.Add(3*time.Second), 0) {
		t.Error("not ready when there is room again")
	}
	if p.Ready(r, Part{0, 1}, now.Add(time.Hour), time.Hour) {
		t.Error("ready without a part")
	}
}

// What was taken and not used can be taken again, once.
func TestReturn(t *testing.T) {
	var p Pace
	r, part, now := &Rule{MessagesPerMinute: 60, RecipientsPerMinute: 1200}, Part{1, 1}, time.Unix(1_700_000_000, 0)
	p.Take(r, part, 1, now, time.Second)
	now = now.Add(time.Hour) // all that may come at once is there
	taken := func() (n int) {
		for ; n < 100; n++ {
			if wait, ok := p.Take(r, part, 15, now, time.Second); !ok || wait > 0 {
				if ok {
					p.Return(r, 15)
				}
				return n
			}
		}
		return n
	}
	all := taken()
	if all == 0 || all == 100 {
		t.Fatalf("%d at once", all)
	}
	p.Return(r, 15)
	p.Return(r, 15)
	if again := taken(); again != 2 {
		t.Errorf("%d could be taken again, 2 were given back", again)
	}
}
