package tlsrpt

import (
	"slices"
	"strings"
	"sync"
	"time"
)

// The bounds of what is counted.
const (
	mostDomains  = 20_000 // of one day
	mostPolicies = 16     // of one domain
	mostFailures = 64     // ways of one policy
)

// Day is a day in UTC: days since 1970-01-01.
type Day int64

// DayOf is the day of a time.
func DayOf(t time.Time) Day { return Day(t.Unix() / 86400) }

// Begin is the first moment of the day.
func (d Day) Begin() time.Time { return time.Unix(int64(d)*86400, 0).UTC() }

// End is the last second of the day.
func (d Day) End() time.Time { return d.Begin().Add(24*time.Hour - time.Second) }

// Counts is what was counted for one domain.
type Counts []PolicyCounts

// Tally counts; safe for concurrent use.
type Tally struct {
	mu   sync.Mutex
	days map[Day]map[string]Counts
	// changed are domains whose counts have grown since they were taken.
	changed map[Day]map[string]bool
}

// NewTally makes an empty one.
func NewTally() *Tally {
	return &Tally{days: map[Day]map[string]Counts{}, changed: map[Day]map[string]bool{}}
}

// Count adds a session; what is beyond the bounds is not counted.
func (t *Tally) Count(now time.Time, s Session) {
	one := PolicyCounts{Policy: s.Policy}
	if s.Failed == nil {
		one.Summary.Successful = 1
	} else {
		one.Summary.Failed = 1
		one.Failures = []Failing{{Failure: *s.Failed, Sessions: 1}}
	}
	day, domain := DayOf(now), strings.ToLower(s.Domain)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.days[day] == nil {
		t.days[day], t.changed[day] = map[string]Counts{}, map[string]bool{}
	}
	counts, ok := t.days[day][domain]
	if !ok && len(t.days[day]) >= mostDomains {
		return
	}
	t.days[day][domain] = counts.add(one)
	t.changed[day][domain] = true
}

// Changed takes what has grown since it was asked last, by day and domain.
func (t *Tally) Changed() map[Day]map[string]Counts {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := map[Day]map[string]Counts{}
	for day, domains := range t.changed {
		for domain := range domains {
			if out[day] == nil {
				out[day] = map[string]Counts{}
			}
			out[day][domain] = t.days[day][domain].clone()
		}
		clear(domains)
	}
	return out
}

// Take removes what was counted on a day and all days before it, and returns
// that of the day by domain.
func (t *Tally) Take(day Day) map[string]Counts {
	t.mu.Lock()
	defer t.mu.Unlock()
	taken := t.days[day]
	for d := range t.days {
		if d <= day {
			delete(t.days, d)
			delete(t.changed, d)
		}
	}
	return taken
}

// Add is both counts together.
func (c Counts) Add(other Counts) Counts {
	sum := c.clone()
	for _, p := range other {
		sum = sum.add(p)
	}
	return sum
}

func (c Counts) clone() Counts {
	out := slices.Clone(c)
	for i := range out {
		out[i].Failures = slices.Clone(out[i].Failures)
	}
	return out
}

// add changes c.
func (c Counts) add(p PolicyCounts) Counts {
	i := slices.IndexFunc(c, func(have PolicyCounts) bool { return have.Policy.equal(p.Policy) })
	if i < 0 {
		if len(c) >= mostPolicies {
			return c
		}
		c = append(c, PolicyCounts{Policy: p.Policy})
		i = len(c) - 1
	}
	have := &c[i]
	have.Summary.Successful += p.Summary.Successful
	have.Summary.Failed += p.Summary.Failed
	for _, f := range p.Failures {
		j := slices.IndexFunc(have.Failures, func(x Failing) bool { return x.Failure == f.Failure })
		switch {
		case j >= 0:
			have.Failures[j].Sessions += f.Sessions
		case len(have.Failures) < mostFailures:
			have.Failures = append(have.Failures, f)
		}
	}
	return c
}

func (p Policy) equal(o Policy) bool {
	return p.Type == o.Type && p.Domain == o.Domain && slices.Equal(p.Strings, o.Strings) && slices.Equal(p.MX, o.MX)
}
