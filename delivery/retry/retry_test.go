package retry

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"quorumta/internal/mail"
	"quorumta/internal/policy"
	"quorumta/queue/event"
)

func steps(t testing.TB, texts ...string) []Step {
	t.Helper()
	var list []Step
	for _, text := range texts {
		step, err := ParseStep(text)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, step)
	}
	return list
}

func newRules(t testing.TB, random func(int64) int64, rules ...Rule) *Rules {
	t.Helper()
	r, err := New(rules, random)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var start = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// run draws the ages of all tries until expiry; each takes a while.
func run(r *Rules, took time.Duration) string {
	var ages []string
	e := Error{Now: start, Accepted: start}
	for {
		due, expired := r.Next(e)
		if expired {
			return strings.Join(ages, " ") + " expired"
		}
		if e.FirstFailed.IsZero() {
			e.FirstFailed = e.Now
		}
		ages = append(ages, due.Sub(start).Round(time.Minute).String())
		e.LastFailed, e.Now, e.Tries = e.Now, due.Add(took), e.Tries+1
	}
}

func TestSchedule(t *testing.T) {
	tests := []struct {
		steps []string
		want  string
	}{
		{[]string{"F 1h 15m"}, "15m0s 30m0s 45m0s 1h0m0s expired"},
		{[]string{"F 1h 40m"}, "40m0s 1h0m0s expired"},
		{[]string{"G 10h 1h 1.5"}, "1h0m0s 2h30m0s 4h45m0s 8h8m0s 10h0m0s expired"},
		{[]string{"F 30m 15m", "G 8h 1h 2", "F 1d 10h"}, "15m0s 30m0s 1h30m0s 3h30m0s 7h30m0s 15h30m0s 24h0m0s expired"},
		{[]string{"G 3h 1h 1"}, "1h0m0s 2h0m0s 3h0m0s expired"},
		{nil, " expired"},
	}
	for _, test := range tests {
		r := newRules(t, nil, Rule{Name: "r", Steps: steps(t, test.steps...)})
		if got := run(r, 0); got != test.want {
			t.Errorf("%v: got %s, want %s", test.steps, got, test.want)
		}
	}
}

func TestOrdinaryScheduleEndsAfterFourDays(t *testing.T) {
	got := run(newRules(t, nil), time.Millisecond)
	if !strings.HasPrefix(got, "15m0s 30m0s") || !strings.HasSuffix(got, " 96h0m0s expired") {
		t.Errorf("got %s", got)
	}
	if n := strings.Count(got, " "); n < 20 || n > 40 {
		t.Errorf("%d tries in four days", n)
	}
}

// Forced tries and long stops do not stretch the intervals.
func TestIntervalDependsOnAgeAlone(t *testing.T) {
	r := newRules(t, nil, Rule{Name: "r", Steps: steps(t, "G 1d 1h 2")})
	e := Error{FirstFailed: start, Now: start.Add(61 * time.Minute)}
	for range 5 {
		due, _ := r.Next(e)
		if got := due.Sub(e.Now); got != 2*time.Hour {
			t.Errorf("after %d tries: got %v, want 2h", e.Tries, got)
		}
		e.Tries++
		e.LastFailed = e.Now
	}
}

func TestRandomStep(t *testing.T) {
	step := steps(t, "H 1d 1h 2")[0]
	source := rand.New(rand.NewPCG(1, 2))
	shortest, longest := day, time.Duration(0)
	for range 1000 {
		got := step.interval(61*time.Minute, source.Int64N)
		shortest, longest = min(shortest, got), max(longest, got)
	}
	if shortest < time.Hour || shortest > 70*time.Minute || longest > 4*time.Hour || longest < 230*time.Minute {
		t.Errorf("drawn from %v to %v, want from 1h to 4h", shortest, longest)
	}
}

func TestChoiceOfRule(t *testing.T) {
	env, err := policy.NewEnv(map[string][]netip.Prefix{}, map[string][]string{"slow": {"slow.example"}})
	if err != nil {
		t.Fatal(err)
	}
	condition := func(expr string) *policy.Condition {
		c, err := env.Condition(expr, "sender", "rcpt")
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	r := newRules(t, nil,
		Rule{Name: "broken", If: condition(`sender.local == "boom" && int(rcpt.local) == 1`), Steps: steps(t, "F 1h 1m")},
		Rule{Name: "slow", If: condition(`rcpt.domain in lists.slow`), Steps: steps(t, "F 1d 2h")},
		Rule{Name: "connect", Errors: []event.ErrorKind{event.ErrorConnect, event.ErrorTimeout}, Steps: steps(t, "F 1d 5m")},
		Rule{Name: "reports", If: condition(`sender.address == ""`), Steps: nil},
	)
	x := mail.Address{Local: "x", Domain: "corp.example"}
	for _, test := range []struct {
		e    Error
		want string
	}{
		{Error{Sender: x, Recipient: mail.Address{Local: "a", Domain: "slow.example"}, Kind: event.ErrorConnect}, "2h0m0s"},
		{Error{Sender: x, Recipient: x, Kind: event.ErrorConnect}, "5m0s"},
		{Error{Sender: x, Recipient: x, Kind: event.ErrorRecipient}, "15m0s"},
		{Error{Recipient: x, Kind: event.ErrorRecipient}, "expired"},
		{Error{Sender: mail.Address{Local: "boom", Domain: "x"}, Recipient: x}, "15m0s"},
	} {
		test.e.Now = start
		due, expired := r.Next(test.e)
		got := due.Sub(start).String()
		if expired {
			got = "expired"
		}
		if got != test.want {
			t.Errorf("%+v: got %s, want %s", test.e, got, test.want)
		}
	}
}

func TestUntil(t *testing.T) {
	r := newRules(t, nil)
	if got := r.Until(Error{FirstFailed: start, Now: start.Add(time.Hour)}); got != start.Add(4*day) {
		t.Errorf("got %v", got)
	}
}

func TestParseStep(t *testing.T) {
	for text, want := range map[string]string{
		"F 2h 15m":       "F 2h 15m",
		"G,16h,1h,1.5":   "G 16h 1h 1.5",
		" H 1d12h 90s 2": "H 1d12h 1m30s 2",
		"F 2w 1d":        "F 14d 1d",
	} {
		step, err := ParseStep(text)
		if err != nil || step.String() != want {
			t.Errorf("%q: got %v, %v; want %s", text, step, err, want)
		}
	}
	for text, want := range map[string]string{
		"":                `"F cutoff interval"`,
		"X 1h 1m":         `"F cutoff interval"`,
		"F 1h":            "2 values are expected after F, as in F 2h 15m",
		"F 1h 15m 2":      "2 values are expected after F",
		"G 1h 15m":        "3 values are expected after G, as in G 16h 1h 1.5",
		"F 1h 15":         `"15" is no time`,
		"F 1.5h 15m":      `"1.5h" is no time`,
		"F 0s 15m":        "a cut-off after the first failure",
		"F 1h 0s":         "too short",
		"G 1h 1m 0.5":     "factor 0.5 is not from 1 to 100",
		"G 1h 1m x":       "a number is expected",
		"G 1h 1m NaN":     "factor NaN",
		"F 99999999w 1d":  "longer than ten years",
		"F 520w520w 1d":   "longer than ten years",
		"F 9999999999d 1": "longer than ten years",
	} {
		if _, err := ParseStep(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	if _, err := New([]Rule{{Steps: steps(t, "F 1h 1m")}}, nil); err == nil || !strings.Contains(err.Error(), "no name") {
		t.Errorf("got %v", err)
	}
	_, err := New([]Rule{{Name: "r", Steps: steps(t, "F 2h 1m", "F 1h 1m")}}, nil)
	if err == nil || !strings.Contains(err.Error(), `step "F 1h 1m": cut-offs count from the first failure, one after 2h is expected`) {
		t.Errorf("got %v", err)
	}
}

func TestWarnings(t *testing.T) {
	w := Warnings{4 * time.Hour, day}
	for _, test := range []struct {
		age    time.Duration
		sent   uint32
		due    bool
		passed uint32
	}{
		{3 * time.Hour, 0, false, 0}, {4 * time.Hour, 0, true, 1}, {5 * time.Hour, 1, false, 1},
		{2 * day, 1, true, 2}, {2 * day, 2, false, 2}, {2 * day, 99, false, 2},
	} {
		now := start.Add(test.age)
		if got := w.Due(start, test.sent, now); got != test.due {
			t.Errorf("Due at %v after %d: got %v", test.age, test.sent, got)
		}
		if got := w.Passed(start, now); got != test.passed {
			t.Errorf("Passed at %v: got %d, want %d", test.age, got, test.passed)
		}
	}
	if at, ok := w.Next(start, 1); !ok || at != start.Add(day) {
		t.Errorf("Next: got %v, %v", at, ok)
	}
}

// Whatever the rule, a due time lies ahead, within the rule's end, and expiry
// comes at the end and not before.
func FuzzNext(f *testing.F) {
	f.Add("F 2h 15m", "G 16h 1h 1.5", int64(3*time.Hour))
	f.Add("H 1s 1s 100", "H 520w 1s 1.0000001", int64(500*week))
	f.Fuzz(func(t *testing.T, one, two string, elapsed int64) {
		a, err := ParseStep(one)
		if err != nil {
			return
		}
		b, err := ParseStep(two)
		if err != nil {
			return
		}
		again, err := ParseStep(a.String())
		if err != nil || again != a {
			t.Fatalf("%q is read as %v, then %v, %v", one, a, again, err)
		}
		r, err := New([]Rule{{Name: "r", Steps: []Step{a, b}}}, nil)
		if err != nil {
			return
		}
		age := time.Duration(max(elapsed, 0)) % (600 * week)
		e := Error{FirstFailed: start, Now: start.Add(age)}
		due, expired := r.Next(e)
		if expired != (age >= b.Cutoff) {
			t.Fatalf("%v: expired %v", age, expired)
		}
		if !expired && (!due.After(e.Now) || due.After(start.Add(b.Cutoff))) {
			t.Fatalf("%v: due after %v", age, due.Sub(start))
		}
		_ = fmt.Sprint(r.Until(e))
	})
}
