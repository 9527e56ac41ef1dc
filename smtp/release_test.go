package smtp_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"quorumta/internal/policy"
	"quorumta/smtp"
)

// TestFutureRelease: clients of the net that may have messages held back are told
// so, and what they ask for is on record; others are not and may not.
func TestFutureRelease(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	run := func(net string) *house {
		return open(t, func(o *smtp.Options) {
			o.Now = func() time.Time { return now }
			o.Policy = testPolicy(t, `rcpt.domain == "example.org"`)
			env, err := policy.NewEnv(map[string][]netip.Prefix{"inside": {netip.MustParsePrefix(net)}}, nil)
			if err != nil {
				t.Fatal(err)
			}
			o.Policy.Env = env
			o.Listeners[0].Hold, o.Listeners[0].HoldFrom = time.Hour, "inside"
		})
	}
	h := run("127.0.0.0/8")
	c := h.dial()
	c.hear("220")
	if got := c.ask("EHLO x", "250"); !strings.Contains(got, "FUTURERELEASE 3600 2026-03-01T13:00:00Z") {
		t.Error(got)
	}
	c.ask("MAIL FROM:<a@example.net> HOLDFOR=3601", "501 5.5.4")
	c.ask("MAIL FROM:<a@example.net> HOLDUNTIL=2026-03-01T12:30:00Z", "250")
	c.ask("RSET", "250")
	c.ask("MAIL FROM:<a@example.net> HOLDFOR=60", "250")
	c.ask("RCPT TO:<b@example.org>", "250")
	c.ask("DATA", "354")
	id := idOf(t, c.ask("\r\nx\r\n.", "250 2.0.0 Ok: queued as "))
	if due := h.accepted(id).Due; !due.Equal(now.Add(time.Minute)) {
		t.Errorf("due %v", due)
	}
	// What one transaction asked for is not said of the next.
	c.ask("MAIL FROM:<a@example.net>", "250")
	c.ask("RCPT TO:<b@example.org>", "250")
	c.ask("DATA", "354")
	id = idOf(t, c.ask("\r\nx\r\n.", "250 2.0.0 Ok: queued as "))
	if due := h.accepted(id).Due; !due.IsZero() {
		t.Errorf("due %v", due)
	}

	c = run("10.0.0.0/8").dial()
	c.hear("220")
	if got := c.ask("EHLO x", "250"); strings.Contains(got, "FUTURERELEASE") {
		t.Error(got)
	}
	c.ask("MAIL FROM:<a@example.net> HOLDFOR=60", "555 5.5.4")
}
