package load

import (
	"slices"
	"sync"
	"time"
)

// Report sums a run up.
type Report struct {
	Run     string    `json:"run"`
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended"`
	// Rate is acknowledged messages per second.
	Rate float64 `json:"rate"`
	Tally
	// Histogram has the latencies that Latency sums up.
	Histogram []Bucket `json:"histogram,omitempty"`
	// Targets are in the order of Options.
	Targets []TargetReport `json:"targets"`
	// Refusals are the first of them, each with its time; the targets count
	// them all.
	Refusals []Refusal `json:"refusals,omitempty"`
}

// Tally counts what became of messages.
type Tally struct {
	Acknowledged int64 `json:"acknowledged"`
	Transient    int64 `json:"4xx"`
	Permanent    int64 `json:"5xx"`
	Unknown      int64 `json:"unknown"`
	Unsent       int64 `json:"unsent"`
	// Recipients counts those of acknowledged messages.
	Recipients int64 `json:"recipients"`
	// Latency is from the final dot to 250.
	Latency Latency `json:"latency"`
	// LongestGap is the longest time without a 250 between the first and the
	// end of the run; Gaps are those of more than a quarter of a second.
	LongestGap Gap   `json:"longest_gap"`
	Gaps       []Gap `json:"gaps,omitempty"`
}

// TargetReport is one target's share.
type TargetReport struct {
	Address string `json:"address"`
	Tally
	// Refused counts 4yz and 5yz that made a session turn away, Broken
	// connections that failed or broke.
	Refused int64 `json:"refused"`
	Broken  int64 `json:"broken"`
}

// Gap is a time without a 250.
type Gap struct {
	From    time.Time `json:"from,omitzero"`
	Seconds float64   `json:"seconds"`
}

// Refusal is one time that a target did not take a message.
type Refusal struct {
	At     time.Time `json:"at"`
	Target string    `json:"target"`
	Stage  string    `json:"stage"`
	// Code is 0 when there was no reply, and Text then the error.
	Code int    `json:"code,omitempty"`
	Text string `json:"text"`
}

const (
	gapsFrom    = 250 * time.Millisecond
	maxGaps     = 1000
	maxRefusals = 10_000
)

// tally is written by all sessions.
type tally struct {
	mu       sync.Mutex // guards all below
	sum      Report
	total    counter
	each     []counter
	finished bool
}

// counter is what a tally needs beside the numbers.
type counter struct {
	hist histogram
	last time.Time // of the last 250, or the start
}

func newTally(run string, targets []string) *tally {
	t := &tally{sum: Report{Run: run}, each: make([]counter, len(targets))}
	for _, a := range targets {
		t.sum.Targets = append(t.sum.Targets, TargetReport{Address: a})
	}
	return t
}

func (t *tally) start(at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sum.Started = at
}

// record counts a message and passes it on.
func (t *tally) record(rec Record, to func(Record)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sum.count(&t.total, rec)
	if i := t.indexLocked(rec.Target); i >= 0 {
		t.sum.Targets[i].count(&t.each[i], rec)
	}
	to(rec)
}

func (t *tally) indexLocked(address string) int {
	return slices.IndexFunc(t.sum.Targets, func(r TargetReport) bool { return r.Address == address })
}

func (y *Tally) count(c *counter, rec Record) {
	switch rec.Class {
	case Acknowledged:
		y.Acknowledged++
		y.Recipients += int64(len(rec.To) - len(rec.Refused))
		c.hist.add(time.Duration(rec.TookMicros) * time.Microsecond)
		y.gap(c.last, rec.At)
		c.last = rec.At
	case Transient:
		y.Transient++
	case Permanent:
		y.Permanent++
	case Unknown:
		y.Unknown++
	case Unsent:
		y.Unsent++
	}
}

// gap notes the time between two 250s; from is zero before the first.
func (y *Tally) gap(from, to time.Time) {
	d := to.Sub(from)
	if from.IsZero() {
		return
	}
	g := Gap{From: from, Seconds: d.Seconds()}
	if g.Seconds > y.LongestGap.Seconds {
		y.LongestGap = g
	}
	if d > gapsFrom && len(y.Gaps) < maxGaps {
		y.Gaps = append(y.Gaps, g)
	}
}

func (t *tally) refuse(address string, r result) {
	refusal := Refusal{At: time.Now(), Target: address, Stage: r.stage, Code: r.code, Text: r.text}
	if r.err != nil {
		refusal.Code, refusal.Text = 0, r.err.Error()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := t.indexLocked(address); i >= 0 && r.err != nil {
		t.sum.Targets[i].Broken++
	} else if i >= 0 {
		t.sum.Targets[i].Refused++
	}
	if len(t.sum.Refusals) < maxRefusals {
		t.sum.Refusals = append(t.sum.Refusals, refusal)
	}
}

// finish closes the gaps that are open at the end.
func (t *tally) finish(at time.Time) Report {
	t.mu.Lock()
	if !t.finished {
		t.finished = true
		t.sum.gap(t.total.last, at)
		for i := range t.each {
			t.sum.Targets[i].gap(t.each[i].last, at)
		}
		t.sum.Ended = at
	}
	t.mu.Unlock()
	return t.report(at)
}

func (t *tally) report(now time.Time) Report {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.sum
	if r.Ended.IsZero() {
		r.Ended = now
	}
	if s := r.Ended.Sub(r.Started).Seconds(); s > 0 {
		r.Rate = float64(r.Acknowledged) / s
	}
	r.Latency = t.total.hist.latency()
	r.Histogram = t.total.hist.buckets()
	r.Targets = slices.Clone(r.Targets)
	for i := range r.Targets {
		r.Targets[i].Latency = t.each[i].hist.latency()
	}
	return r
}
