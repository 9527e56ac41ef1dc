package rejoin

import (
	"time"
)

// The phases in their order.
const (
	// Before: all nodes work.
	Before = "before"
	// Alone: one was killed, and its data are gone.
	Alone = "alone"
	// Rejoining: it was taken back and catches up.
	Rejoining = "rejoining"
	// After: it votes in every shard.
	After = "after"
)

// Phase is a part of the run, from its beginning to that of the next.
type Phase struct {
	Name string `json:"name"`
	// Seconds is how long it lasted, Rate the messages a second that were
	// accepted, Lowest the rate in the worst of its windows.
	Seconds float64 `json:"seconds"`
	Rate    float64 `json:"rate"`
	Lowest  float64 `json:"lowest"`
	// Windows are the rates in each window; what is left at the end of the
	// phase counts for Rate only.
	Windows []float64 `json:"windows"`

	began time.Time
}

// measure counts the acknowledgements, which are in the order of their times,
// in phases that end where the next begins, the last one at the end.
func measure(phases []Phase, end time.Time, window time.Duration, acknowledged []time.Time) {
	for i := range phases {
		p := &phases[i]
		until := end
		if i+1 < len(phases) {
			until = phases[i+1].began
		}
		p.measure(until, window, acknowledged)
	}
}

func (p *Phase) measure(until time.Time, window time.Duration, acknowledged []time.Time) {
	length := until.Sub(p.began)
	counts := make([]int, max(0, length/window))
	total := 0
	for _, at := range acknowledged {
		if at.Before(p.began) || !at.Before(until) {
			continue
		}
		total++
		if i := int(at.Sub(p.began) / window); i < len(counts) {
			counts[i]++
		}
	}
	p.Seconds = length.Seconds()
	if p.Seconds > 0 {
		p.Rate = float64(total) / p.Seconds
	}
	p.Lowest = p.Rate // of a phase shorter than a window
	for i, n := range counts {
		rate := float64(n) / window.Seconds()
		p.Windows = append(p.Windows, rate)
		if i == 0 || rate < p.Lowest {
			p.Lowest = rate
		}
	}
}
