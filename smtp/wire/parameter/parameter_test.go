package parameter

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"quorumta/internal/mail"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// TestRelease: who is offered FUTURERELEASE says how long a message is to be held
// back, or until when, and nobody else does (RFC 4865).
func TestRelease(t *testing.T) {
	offers := Offers{Hold: 24 * time.Hour}
	for _, c := range []struct {
		said    string
		refused string // what the client is told; "" where it is heard
		release time.Time
	}{
		{"HOLDFOR=1", "", now.Add(time.Second)},
		{"SIZE=10 holdfor=86400", "", now.Add(24 * time.Hour)},
		{"HOLDFOR=86401", "501 5.5.4 The time of release", time.Time{}},
		{"HOLDFOR=999999999", "501 5.5.4 The time of release", time.Time{}},
		{"HOLDFOR=0", "501 5.5.4 HOLDFOR", time.Time{}},
		{"HOLDFOR=0000000001", "501 5.5.4 HOLDFOR", time.Time{}},
		{"HOLDFOR=-1", "501 5.5.4 HOLDFOR", time.Time{}},
		{"HOLDFOR", "501 5.5.4 HOLDFOR", time.Time{}},
		{"HOLDUNTIL=2026-03-01T18:00:00Z", "", now.Add(6 * time.Hour)},
		{"HOLDUNTIL=2026-03-01T18:00:00.5+01:00", "", now.Add(5*time.Hour + 500*time.Millisecond)},
		{"HOLDUNTIL=2026-03-02T12:00:01Z", "501 5.5.4 The time of release", time.Time{}},
		{"HOLDUNTIL=2026-03-01T11:00:00Z", "", now.Add(-time.Hour)},
		{"HOLDUNTIL=2026-02-30T11:00:00Z", "501 5.5.4 HOLDUNTIL", time.Time{}},
		{"HOLDUNTIL=tomorrow", "501 5.5.4 HOLDUNTIL", time.Time{}},
		{"HOLDFOR=1 HOLDUNTIL=2026-03-01T18:00:00Z", "501 5.5.4 A parameter", time.Time{}},
		{"HOLDFOR=1 HOLDFOR=2", "501 5.5.4 A parameter", time.Time{}},
		{"HOLDFOREVER=1", "555 5.5.4", time.Time{}},
	} {
		told(t, c.said, offers, c.refused)
		if _, wishes, refused := Mail(c.said, offers, now); refused == nil && !wishes.Release.Equal(c.release) {
			t.Errorf("%s: released at %v", c.said, wishes.Release)
		}
		if !strings.HasPrefix(c.said, "HOLDFOREVER") {
			told(t, c.said[strings.Index(strings.ToUpper(c.said), "HOLD"):], Offers{}, "555 5.5.4", "501 5.5.4 A parameter")
		}
	}
	if got := offers.Extensions(now); len(got) != 1 || got[0] != "FUTURERELEASE 86400 2026-03-02T12:00:00Z" {
		t.Error(got)
	}
	if got := (Offers{}).Extensions(now); got != nil {
		t.Error(got)
	}
}

// TestPriority: who is offered MT-PRIORITY says how urgent a message is (RFC 6710).
func TestPriority(t *testing.T) {
	offers := Offers{Priority: true}
	for said, want := range map[string]mail.Priority{"MT-PRIORITY=-9": -9, "mt-priority=0": 0, "SIZE=1 MT-PRIORITY=9": 9} {
		if _, wishes, refused := Mail(said, offers, now); refused != nil || wishes.Priority != want {
			t.Errorf("%s: %d, %v", said, wishes.Priority, refused)
		}
	}
	for _, said := range []string{"MT-PRIORITY=10", "MT-PRIORITY=-10", "MT-PRIORITY=300", "MT-PRIORITY=x", "MT-PRIORITY=+1", "MT-PRIORITY"} {
		told(t, said, offers, "501 5.5.4 MT-PRIORITY")
		told(t, said, Offers{}, "555 5.5.4")
	}
	if got := (Offers{Hold: time.Hour, Priority: true}).Extensions(now); len(got) != 2 || got[1] != "MT-PRIORITY" {
		t.Error(got)
	}
}

// told checks that a client is told one of the replies.
func told(t *testing.T, said string, offers Offers, want ...string) {
	t.Helper()
	_, _, refused := Mail(said, offers, now)
	got := ""
	if refused != nil {
		e := refused.EnhancedCode
		got = fmt.Sprintf("%d %d.%d.%d %s", refused.Code, e[0], e[1], e[2], refused.Message)
	}
	for _, w := range want {
		if got == w || w != "" && strings.HasPrefix(got, w) {
			return
		}
	}
	t.Errorf("%s: %q, want %q", said, got, want)
}
