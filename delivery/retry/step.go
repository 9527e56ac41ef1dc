package retry

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Step is one stretch of a rule.
type Step struct {
	// Letter is 'F' (fixed interval), 'G' (the interval grows by Factor from
	// one try to the next) or 'H' (drawn at random between Interval and what
	// the next interval of G would be).
	Letter byte
	// Cutoff is the end of the step, counted from the first failure.
	Cutoff   time.Duration
	Interval time.Duration
	// Factor is at least 1; 1 for 'F'.
	Factor float64
}

// ParseStep reads "F 2h 15m", "G 16h 1h 1.5" or "H 16h 1h 1.5". Times are
// numbers with s, m, h, d or w, as in "1d12h".
func ParseStep(s string) (Step, error) {
	fields := strings.Fields(strings.ReplaceAll(s, ",", " "))
	form := map[string]int{"F": 3, "G": 4, "H": 4}
	if len(fields) == 0 || form[fields[0]] == 0 {
		return Step{}, fmt.Errorf(`retry step %q: "F cutoff interval", "G cutoff interval factor" or "H cutoff interval factor" is expected`, s)
	}
	if len(fields) != form[fields[0]] {
		return Step{}, fmt.Errorf("retry step %q: %d values are expected after %s, as in %s", s, form[fields[0]]-1, fields[0], example[fields[0]])
	}
	step := Step{Letter: fields[0][0], Factor: 1}
	var err error
	if step.Cutoff, err = parseDuration(fields[1]); err != nil {
		return Step{}, fmt.Errorf("retry step %q: cut-off: %w", s, err)
	}
	if step.Interval, err = parseDuration(fields[2]); err != nil {
		return Step{}, fmt.Errorf("retry step %q: interval: %w", s, err)
	}
	if step.Letter != 'F' {
		if step.Factor, err = strconv.ParseFloat(fields[3], 64); err != nil {
			return Step{}, fmt.Errorf("retry step %q: factor: a number is expected, as 1.5", s)
		}
	}
	if err := step.check(); err != nil {
		return Step{}, fmt.Errorf("retry step %q: %w", s, err)
	}
	return step, nil
}

var example = map[string]string{"F": "F 2h 15m", "G": "G 16h 1h 1.5", "H": "H 16h 1h 1.5"}

func (s Step) check() error {
	switch {
	case s.Letter != 'F' && s.Letter != 'G' && s.Letter != 'H':
		return fmt.Errorf("letter %q is none of F, G, H", s.Letter)
	case s.Interval < time.Second:
		return fmt.Errorf("an interval of %v is too short: a second at least", s.Interval)
	case s.Cutoff <= 0:
		return fmt.Errorf("a cut-off after the first failure is expected")
	case !(s.Factor >= 1 && s.Factor <= 100):
		return fmt.Errorf("factor %v is not from 1 to 100", s.Factor)
	}
	return nil
}

// String is the step as ParseStep reads it.
func (s Step) String() string {
	text := fmt.Sprintf("%c %s %s", s.Letter, formatDuration(s.Cutoff), formatDuration(s.Interval))
	if s.Letter != 'F' {
		text += " " + strconv.FormatFloat(s.Factor, 'g', -1, 64)
	}
	return text
}

// interval is how long to wait at a time after the step began.
func (s Step) interval(since time.Duration, random func(n int64) int64) time.Duration {
	if s.Letter == 'F' {
		return s.Interval
	}
	planned := s.planned(since)
	if s.Letter == 'G' {
		return planned
	}
	widest := s.capped(float64(planned) * s.Factor)
	return s.Interval + time.Duration(random(int64(widest-s.Interval)+1))
}

// planned is the interval of a G step that the time falls into: intervals
// i, i·f, i·f² … begin after i·(fᵏ−1)/(f−1).
func (s Step) planned(since time.Duration) time.Duration {
	if s.Factor == 1 {
		return s.Interval
	}
	// Attempts take time and clocks are read to the millisecond: a try counts
	// as the one it is nearest after.
	x := float64(max(since, 0)+time.Second) / float64(s.Interval)
	k := math.Floor(math.Log1p(x*(s.Factor-1)) / math.Log(s.Factor))
	return s.capped(float64(s.Interval) * math.Pow(s.Factor, k))
}

// capped keeps a grown interval within the step's cut-off.
func (s Step) capped(interval float64) time.Duration {
	return max(s.Interval, time.Duration(min(interval, float64(s.Cutoff))))
}

const (
	day  = 24 * time.Hour
	week = 7 * day
)

// maxDuration keeps sums of times from overflowing.
const maxDuration = 520 * week

func parseDuration(s string) (time.Duration, error) {
	units := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': day, 'w': week}
	var total time.Duration
	for rest := s; ; {
		digits := 0
		for digits < len(rest) && rest[digits] >= '0' && rest[digits] <= '9' {
			digits++
		}
		if digits == 0 || digits == len(rest) || units[rest[digits]] == 0 {
			return 0, fmt.Errorf("%q is no time: 15m, 4h, 1d12h are", s)
		}
		n, err := strconv.ParseInt(rest[:digits], 10, 32)
		unit := units[rest[digits]]
		if err != nil || n > int64(maxDuration/unit) || total+time.Duration(n)*unit > maxDuration {
			return 0, fmt.Errorf("%q is longer than ten years", s)
		}
		total += time.Duration(n) * unit
		if rest = rest[digits+1:]; rest == "" {
			return total, nil
		}
	}
}

func formatDuration(d time.Duration) string {
	text := ""
	for _, unit := range []struct {
		size time.Duration
		name string
	}{{day, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}} {
		if n := d / unit.size; n > 0 {
			text += strconv.FormatInt(int64(n), 10) + unit.name
			d -= n * unit.size
		}
	}
	return text
}
