package retry

import (
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
	r, err := New(rules, Options{Random: random, IntervalMost: 520 * week})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var start = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// run draws the ages of all tries until expiry; each takes a while.
func run(r *Rules, took time.Duration) string {
	var ages []string
	e := Error{Now: start}
	for {
		p := r.Plan(e)
		if p.Expired {
			return strings.Join(ages, " ") + " expired"
		}
		if e.Since.IsZero() {
			e.Since, e.FirstFailed = e.Now, e.Now
		}
		ages = append(ages, p.Due.Sub(start).Round(time.Minute).String())
		e.Now = p.Due.Add(took)
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
	e := Error{Since: start, FirstFailed: start.Add(59 * time.Minute), Now: start.Add(61 * time.Minute)}
	if got := r.Plan(e).Due.Sub(e.Now); got != 2*time.Hour {
		t.Errorf("got %v, want 2h", got)
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
		Rule{Name: "connect", Errors: patterns(t, "connect", "timeout"), Steps: steps(t, "F 1d 5m")},
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
		p := r.Plan(test.e)
		got := p.Due.Sub(start).String()
		if p.Expired {
			got = "expired"
		}
		if got != test.want {
			t.Errorf("%+v: got %s, want %s", test.e, got, test.want)
		}
		all := r.Explain(test.e)
		if last := all[len(all)-1]; test.want != "15m0s" && (last.Verdict != Fits || last.Rule != p.Rule) {
			t.Errorf("%+v: %+v, but rule %s decides", test.e, all, p.Rule)
		}
	}
	boom := r.Explain(Error{Sender: mail.Address{Local: "boom", Domain: "x"}, Recipient: x})
	if len(boom) != 1 || boom[0].Verdict != Broken || boom[0].Why == "" {
		t.Errorf("a condition that cannot be told: %+v", boom)
	}
}

func TestPlanTellsRuleAndStep(t *testing.T) {
	r := newRules(t, nil, Rule{Name: "one", Steps: steps(t, "F 1h 15m", "F 1d 2h"), Warnings: Warnings{time.Hour}})
	e := Error{Since: start, FirstFailed: start, Now: start.Add(90 * time.Minute)}
	p := r.Plan(e)
	if p.Rule != "one" || p.Step != 1 || p.Until != start.Add(day) || len(p.Warnings) != 1 {
		t.Errorf("got %+v", p)
	}
	if p = newRules(t, nil).Plan(e); p.Rule != "" || p.Until != start.Add(4*day) || p.Warnings != nil {
		t.Errorf("without rules: %+v", p)
	}
}

// TestClocks: the steps are those of what failed, however new the message is;
// and a message that fails for as long as the rule allows ends, though what
// failed last has only begun to.
func TestClocks(t *testing.T) {
	r := newRules(t, nil, Rule{Name: "r", Steps: steps(t, "F 2h 15m", "F 4d 6h")})
	for name, test := range map[string]struct {
		since, own time.Duration // before now; 0: it is the first
		want       string
	}{
		"a new message for a host that has been down for a day": {day, 0, "6h0m0s"},
		"the first failure of both":                             {0, 0, "15m0s"},
		"a host that is down for the rule's whole time":         {4 * day, 0, "expired"},
		"a host that works for others now and then":             {time.Hour, 4 * day, "expired"},
		"the last try falls on the message's own end":           {time.Minute, 4*day - 5*time.Minute, "5m0s"},
		"the last try falls on the host's end":                  {4*day - 5*time.Minute, time.Minute, "5m0s"},
	} {
		e := Error{Now: start}
		if test.since > 0 {
			e.Since = start.Add(-test.since)
		}
		if test.own > 0 {
			e.FirstFailed = start.Add(-test.own)
		}
		p := r.Plan(e)
		got := p.Due.Sub(start).String()
		if p.Expired {
			got = "expired"
		}
		if got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

func TestProbe(t *testing.T) {
	r := newRules(t, nil, Rule{Name: "r", Steps: steps(t, "F 2h 15m", "G 16h 1h 2", "F 4d 6h")}, Rule{Name: "never"})
	if got := r.Probe(Error{Since: start, Now: start.Add(30 * day)}).Sub(start); got != 30*day+6*time.Hour {
		t.Errorf("got %v", got)
	}
	none := newRules(t, nil, Rule{Name: "none"})
	if got := none.Probe(Error{Since: start, Now: start.Add(day)}); got != start.Add(day) {
		t.Errorf("a rule without steps: %v", got)
	}
}

func TestLongestInterval(t *testing.T) {
	r, err := New([]Rule{{Name: "r", Steps: steps(t, "G 60d 1d 3")}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Plan(Error{Since: start, Now: start.Add(20 * day)}).Due.Sub(start); got != 21*day {
		t.Errorf("got %v, want a day", got-20*day)
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
	if _, err := New([]Rule{{Steps: steps(t, "F 1h 1m")}}, Options{}); err == nil || !strings.Contains(err.Error(), "no name") {
		t.Errorf("got %v", err)
	}
	_, err := New([]Rule{{Name: "r", Steps: steps(t, "F 2h 1m", "F 1h 1m")}}, Options{})
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
		{43 * time.Hour, 1, true, 2}, {43 * time.Hour, 2, false, 2}, {43 * time.Hour, 99, false, 2},
		{44 * time.Hour, 2, true, 3}, {64 * time.Hour, 3, true, 4}, {63 * time.Hour, 3, false, 3},
		{600 * week, 100, false, 100},
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
	if _, ok := (Warnings{4 * time.Hour}).Next(start, 1); ok {
		t.Error("a single age is repeated")
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
		r, err := New([]Rule{{Name: "r", Steps: []Step{a, b}}}, Options{})
		if err != nil {
			return
		}
		age := time.Duration(max(elapsed, 0)) % (600 * week)
		e := Error{Since: start, FirstFailed: start, Now: start.Add(age)}
		p := r.Plan(e)
		if p.Expired != (age >= b.Cutoff) {
			t.Fatalf("%v: expired %v", age, p.Expired)
		}
		if !p.Expired && (!p.Due.After(e.Now) || p.Due.After(start.Add(b.Cutoff)) || p.Due.Sub(e.Now) > day) {
			t.Fatalf("%v: due after %v", age, p.Due.Sub(start))
		}
		if probe := r.Probe(e); !probe.After(e.Now) || probe.Sub(e.Now) > day {
			t.Fatalf("%v: probe after %v", age, probe.Sub(start))
		}
	})
}
