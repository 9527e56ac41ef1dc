package outcome

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"quorumta/delivery/dsn"
	"quorumta/delivery/retry"
	"quorumta/internal/mail"
	"quorumta/queue/event"
	"quorumta/queue/state"
)

var start = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// message has recipients that were deferred with these kinds of errors an hour
// and ten minutes after it was accepted, at start.
func message(kinds ...event.ErrorKind) *state.Message {
	m := &state.Message{At: start, Accepted: event.Accepted{
		ID: "00000000000000000001", Envelope: mail.Envelope{From: mail.Address{Local: "s", Domain: "sender.example"}}, Size: 20,
	}}
	for _, kind := range kinds {
		r := state.Recipient{Recipient: mail.Recipient{Address: mail.Address{Local: "r", Domain: "a.example"}}, Error: kind}
		if kind != event.ErrorNone {
			r.FirstFailed = start.Add(time.Hour)
		}
		m.Recipients = append(m.Recipients, r)
	}
	return m
}

func attempt(m *state.Message) *Attempt {
	return &Attempt{Message: m, Content: func() (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader("Subject: test\r\n\r\nbody\r\n")), nil
	}}
}

func rules(t *testing.T, list ...retry.Rule) Rules {
	t.Helper()
	r, err := retry.New(list, retry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return Rules{Retry: r, DSN: &dsn.Builder{Hostname: "relay.example", Now: func() time.Time { return start }}}
}

func step(letter byte, cutoff, interval time.Duration) retry.Step {
	return retry.Step{Letter: letter, Cutoff: cutoff, Interval: interval, Factor: 1}
}

// TestClocksOfClasses: errors of a host, of a message and of an address have a
// clock each: what begins to fail in another way is at the rule's beginning.
func TestClocksOfClasses(t *testing.T) {
	r := rules(t, retry.Rule{Name: "r", Steps: []retry.Step{step('F', time.Hour, 10*time.Minute), step('F', 96*time.Hour, 6*time.Hour)}})
	now := start.Add(3 * time.Hour) // two hours after the first failure
	for name, c := range map[string]struct {
		before, now event.ErrorKind
		what        What
		want        time.Duration
	}{
		"the host goes on failing":            {event.ErrorConnect, event.ErrorLost, Deferred, 6 * time.Hour},
		"the host is back and defers":         {event.ErrorConnect, event.ErrorContent, Deferred, 10 * time.Minute},
		"the message goes on failing":         {event.ErrorSender, event.ErrorContent, Deferred, 6 * time.Hour},
		"the address fails after the message": {event.ErrorContent, event.ErrorRecipient, Deferred, 10 * time.Minute},
		"the address goes on failing":         {event.ErrorRouting, event.ErrorRecipient, Deferred, 6 * time.Hour},
		"in doubt is the message's":           {event.ErrorTimeout, event.ErrorLost, Doubted, 10 * time.Minute},
	} {
		m := message(c.before)
		v := []Verdict{{What: c.what, Kind: c.now}}
		first := r.Schedule(attempt(m), v, now)
		if got := first.Sub(now); got != c.want || v[0].Rule != "r" || v[0].Until != start.Add(97*time.Hour) {
			t.Errorf("%s: %v, want %v; %+v", name, got, c.want, v[0])
		}
	}
}

// TestWarningsOfRules: the rule's own ages win, and one report stands for all
// that have passed.
func TestWarningsOfRules(t *testing.T) {
	own := retry.Rule{Name: "own", Errors: patterns(t, "rcpt_4xx"), Steps: []retry.Step{step('F', 96*time.Hour, time.Hour)}, Warnings: retry.Warnings{}}
	r := rules(t, own)
	r.Warnings = retry.Warnings{time.Hour, 2 * time.Hour}
	m := message(event.ErrorConnect, event.ErrorConnect, event.ErrorRecipient)
	m.Recipients[1].Warned = 2
	now := start.Add(3*time.Hour + time.Minute)
	v := []Verdict{
		{Recipient: 0, What: Deferred, Kind: event.ErrorConnect},
		{Recipient: 1, What: Deferred, Kind: event.ErrorConnect},
		{Recipient: 2, What: Deferred, Kind: event.ErrorRecipient, Reply: mail.Reply{Code: 451}},
	}
	r.Schedule(attempt(m), v, now)
	all, err := r.Settle(attempt(m), 0, v, now)
	if err != nil || len(all) != 1 || all[0].Report == nil {
		t.Fatalf("%+v, %v", all, err)
	}
	steps := map[uint32][]uint32{}
	for _, e := range all[0].Events {
		if w, ok := e.(*event.Warned); ok {
			steps[w.Step] = w.Recipients
		}
	}
	// At 3 h three ages have passed: 1 h, 2 h, and its repetition.
	if len(steps) != 3 || len(steps[1]) != 1 || len(steps[2]) != 1 || len(steps[3]) != 2 {
		t.Errorf("got %v", steps)
	}
	if text := string(all[0].Report.Content); strings.Count(text, "Final-Recipient:") != 2 {
		t.Error(text)
	}
}

func patterns(t *testing.T, name string) []retry.Pattern {
	t.Helper()
	p, err := retry.ParsePattern(name)
	if err != nil {
		t.Fatal(err)
	}
	return []retry.Pattern{p}
}

// TestContentThatCannotBeRead: it is left out of the report, which goes out.
func TestContentThatCannotBeRead(t *testing.T) {
	r := rules(t)
	m := message(event.ErrorNone)
	a := attempt(m)
	a.Content = func() (io.ReadCloser, error) { return nil, errors.New("no disk") }
	v := []Verdict{{What: Failed, Kind: event.ErrorRecipient, Reply: mail.Reply{Code: 550}}}
	all, err := r.Settle(a, 1, v, start)
	if err != nil || len(all) != 1 || all[0].Report == nil {
		t.Fatalf("%+v, %v", all, err)
	}
}
