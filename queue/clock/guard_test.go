package clock

import (
	"testing"
	"time"
)

func TestAClockThatJumpsIsDistrustedUntilOthersSpeakForIt(t *testing.T) {
	var g Guard
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	if g.Tick(now, 0) != 0 || !g.Trusted(0) {
		t.Fatal("a first reading is no jump")
	}
	if jump := g.Tick(now.Add(time.Hour+10*time.Second), 10*time.Second); jump != time.Hour {
		t.Fatalf("jump = %v, want 1h", jump)
	}
	if g.Trusted(11 * time.Second) {
		t.Error("trusted right after a jump")
	}
	if g.Compare(nil, 1); g.Trusted(11 * time.Second) {
		t.Error("a clock alone speaks for itself")
	}
	if !g.Trusted(11*time.Second + probation) {
		t.Error("distrusted for ever")
	}
	if g.Compare([]time.Duration{time.Second, 2 * time.Second}, 3); !g.Trusted(12 * time.Second) {
		t.Error("distrusted although two others agree")
	}
}

func TestTheMedianOfAMajorityDecides(t *testing.T) {
	hour := time.Hour
	for _, c := range []struct {
		name    string
		ahead   []time.Duration
		members int
		trusted bool
	}{
		{"alone", nil, 1, true},
		{"two others far ahead", []time.Duration{hour, hour + time.Second}, 3, false},
		{"two others far behind", []time.Duration{-hour, -hour}, 3, false},
		{"one of two others is off", []time.Duration{hour, 0}, 3, true},
		{"the only other one that answers is behind", []time.Duration{-hour}, 3, false},
		{"the only other one that answers is ahead", []time.Duration{hour}, 3, false},
		{"the only other one that answers agrees", []time.Duration{time.Second}, 3, true},
		{"no majority", []time.Duration{hour}, 5, true},
	} {
		var g Guard
		g.Compare(c.ahead, c.members)
		if g.Trusted(0) != c.trusted {
			t.Errorf("%s: trusted = %v", c.name, !c.trusted)
		}
	}
}
