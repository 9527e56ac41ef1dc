package tlsrpt

import (
	"fmt"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func TestTally(t *testing.T) {
	tally := NewTally()
	sts := Policy{Type: STS, Domain: "example.com", Strings: []string{"mode: enforce"}, MX: []string{"*.example.com"}}
	none := Policy{Type: NoPolicy, Domain: "example.com"}
	expired := &Failure{Result: CertificateExpired, MXHost: "mx1.example.com"}
	for range 3 {
		tally.Count(noon, Session{Domain: "Example.com", Policy: sts})
	}
	tally.Count(noon, Session{Domain: "example.com", Policy: sts, Failed: expired})
	tally.Count(noon, Session{Domain: "example.com", Policy: sts, Failed: expired})
	tally.Count(noon, Session{Domain: "example.com", Policy: sts, Failed: &Failure{Result: StartTLSNotSupported, MXHost: "mx2.example.com"}})
	tally.Count(noon, Session{Domain: "example.com", Policy: none})
	tally.Count(noon.Add(12*time.Hour), Session{Domain: "example.com", Policy: none})
	day := DayOf(noon)
	if c := tally.Changed(); len(c) != 2 || len(c[day]) != 1 {
		t.Errorf("changed: %v", c)
	}
	if c := tally.Changed(); len(c) != 0 {
		t.Errorf("changed again: %v", c)
	}
	got := tally.Take(day)["example.com"]
	if len(got) != 2 || got[0].Summary != (Summary{3, 3}) || got[1].Summary != (Summary{1, 0}) {
		t.Fatalf("%+v", got)
	}
	if f := got[0].Failures; len(f) != 2 || f[0].Sessions != 2 || f[0].Failure != *expired || f[1].Sessions != 1 {
		t.Errorf("%+v", f)
	}
	if tally.Take(day) != nil {
		t.Error("taken twice")
	}
	sum := got.Add(got)
	if sum[0].Summary != (Summary{6, 6}) || sum[0].Failures[0].Sessions != 4 || got[0].Summary != (Summary{3, 3}) || got[0].Failures[0].Sessions != 2 {
		t.Errorf("sum %+v of %+v", sum, got)
	}
	if next := tally.Take(day + 1)["example.com"]; len(next) != 1 {
		t.Errorf("the next day: %+v", next)
	}
}

func TestTallyIsBounded(t *testing.T) {
	tally := NewTally()
	for i := range mostDomains + 10 {
		tally.Count(noon, Session{Domain: fmt.Sprint(i, ".example"), Policy: Policy{Type: NoPolicy}})
	}
	for i := range mostFailures + 10 {
		tally.Count(noon, Session{Domain: "1.example", Failed: &Failure{Result: ValidationFailure, Reason: fmt.Sprint(i)}})
		tally.Count(noon, Session{Domain: "2.example", Policy: Policy{Domain: fmt.Sprint(i)}})
	}
	all := tally.Take(DayOf(noon))
	if len(all) != mostDomains {
		t.Errorf("%d domains", len(all))
	}
	if c := all["1.example"]; len(c[1].Failures) != mostFailures || c[1].Summary.Failed != mostFailures+10 {
		t.Errorf("%d failures of %d", len(c[1].Failures), c[1].Summary.Failed)
	}
	if c := all["2.example"]; len(c) != mostPolicies {
		t.Errorf("%d policies", len(c))
	}
}

func TestDay(t *testing.T) {
	d := DayOf(noon)
	if !d.Begin().Equal(time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)) || !d.End().Equal(time.Date(2026, 11, 23, 23, 59, 59, 0, time.UTC)) {
		t.Errorf("%v to %v", d.Begin(), d.End())
	}
}
