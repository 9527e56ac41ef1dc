package verdict

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"quorumta/bench/load"
	"quorumta/bench/sink"
)

// Verdict is the comparison of one or more runs of load with one sink. All
// numbers but Messages are recipients, counted once for each message.
type Verdict struct {
	// Messages are the records of load, by class.
	Messages map[load.Class]int64 `json:"messages"`
	// Acknowledged are the recipients of acknowledged messages.
	Acknowledged int64 `json:"acknowledged"`
	// Delivered are those of them that the sink has seen.
	Delivered int64 `json:"delivered"`
	// Lost are those of them that the sink has not seen.
	Lost int64 `json:"lost"`
	// Unexpected were seen though refused, never sent or never asked for.
	Unexpected int64 `json:"unexpected"`
	// SecondCopies are all copies beyond the first; OutsideDoubt those of them
	// that no in-doubt event accounts for.
	SecondCopies int64 `json:"second_copies"`
	OutsideDoubt int64 `json:"second_copies_outside_doubt"`
	// InDoubt counts the in-doubt events that were given.
	InDoubt int64 `json:"in_doubt"`
	// Recovered are recipients of messages whose client never learnt the
	// outcome, and which arrived.
	Recovered int64 `json:"unknown_recovered"`
	// OtherRuns were seen of runs that load's records do not speak of.
	OtherRuns int64 `json:"other_runs"`
	// Overflow is the sink's: if it is not 0 the sink has forgotten something.
	Overflow int64 `json:"overflow"`
	// Latency is from the acknowledgement to the first arrival.
	Latency Latency `json:"delivery"`
	// Examples name some of what is wrong.
	Examples []string `json:"examples,omitempty"`
}

// Latency is how long delivery took, in milliseconds.
type Latency struct {
	P50 float64 `json:"p50_ms"`
	P95 float64 `json:"p95_ms"`
	P99 float64 `json:"p99_ms"`
	Max float64 `json:"max_ms"`
}

const maxExamples = 20

// OK reports whether the promise was kept: nothing lost, nothing that was
// refused has arrived, no copy but for recipients in doubt.
func (v Verdict) OK() bool {
	return v.Lost == 0 && v.Unexpected == 0 && v.OutsideDoubt == 0 && v.Overflow == 0
}

// Print writes the verdict as a table.
func (v Verdict) Print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', tabwriter.AlignRight)
	for _, c := range []load.Class{load.Acknowledged, load.Transient, load.Permanent, load.Unknown, load.Unsent} {
		fmt.Fprintf(t, "%d\t  messages %s\n", v.Messages[c], c)
	}
	rows := []struct {
		n    int64
		what string
	}{
		{v.Acknowledged, "recipients acknowledged"},
		{v.Delivered, "delivered"},
		{v.Lost, "lost"},
		{v.Unexpected, "unexpected (refused or never sent, yet arrived)"},
		{v.SecondCopies, "second copies"},
		{v.OutsideDoubt, "second copies outside the in-doubt list"},
		{v.InDoubt, "in doubt"},
		{v.Recovered, "arrived though the client never learnt it"},
		{v.OtherRuns, "of other runs"},
		{v.Overflow, "forgotten by the sink"},
	}
	for _, r := range rows {
		fmt.Fprintf(t, "%d\t  %s\n", r.n, r.what)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "acknowledged to delivered: p50 %.0f ms, p95 %.0f ms, p99 %.0f ms, max %.0f ms\n",
		v.Latency.P50, v.Latency.P95, v.Latency.P99, v.Latency.Max)
	for _, e := range v.Examples {
		fmt.Fprintln(w, e)
	}
	word := "PASS"
	if !v.OK() {
		word = "FAIL"
	}
	_, err := fmt.Fprintf(w, "verdict: %s\n", word)
	return err
}

// Judge collects the evidence in any order: what the sink saw, and load's
// records one by one. It is used by one goroutine.
type Judge struct {
	v       Verdict
	seen    map[string][]arrival
	records []load.Record
	runs    map[string]bool
	doubts  Doubts
	delays  []float64 // milliseconds
}

// arrival is a message at a recipient.
type arrival struct {
	recipient string
	copies    int
	first     time.Time
}

// NewJudge makes a judge; doubts may be the zero Doubts.
func NewJudge(doubts Doubts) *Judge {
	return &Judge{v: Verdict{Messages: map[load.Class]int64{}, InDoubt: doubts.count()},
		seen: map[string][]arrival{}, runs: map[string]bool{}, doubts: doubts}
}

// Stats are the sink's counters, for its Overflow.
func (j *Judge) Stats(s sink.Stats) { j.v.Overflow = s.Overflow }

// Seen is something that the sink saw.
func (j *Judge) Seen(s sink.Seen) {
	j.seen[s.ID] = append(j.seen[s.ID], arrival{s.Recipient, s.Copies, s.First})
}

// Record is one of load's messages.
func (j *Judge) Record(r load.Record) { j.records = append(j.records, r) }

func (j *Judge) message(r load.Record) {
	j.v.Messages[r.Class]++
	j.runs[run(r.ID)] = true
	arrived := j.seen[r.ID]
	delete(j.seen, r.ID)
	for _, to := range r.To {
		i := slices.IndexFunc(arrived, func(a arrival) bool { return strings.EqualFold(a.recipient, to) })
		wanted := !slices.Contains(r.Refused, to)
		var a *arrival
		if i >= 0 {
			a = &arrived[i]
		}
		j.recipient(r, to, wanted, a)
		if i >= 0 {
			arrived = slices.Delete(arrived, i, i+1)
		}
	}
	for _, a := range arrived {
		j.unexpected(r.ID, a, "was no recipient of it")
	}
}

// recipient judges one recipient of a message; a is nil if nothing arrived.
func (j *Judge) recipient(r load.Record, to string, wanted bool, a *arrival) {
	acknowledged := r.Class == load.Acknowledged && wanted
	if acknowledged {
		j.v.Acknowledged++
	}
	switch {
	case a == nil && acknowledged:
		j.v.Lost++
		j.example("lost: %s (%s) to %s, acknowledged by %s at %s", r.ID, r.QueueID, to, r.Target, r.At.UTC().Format(time.RFC3339Nano))
	case a == nil:
	case acknowledged:
		j.v.Delivered++
		// It may arrive before the client has read the 250.
		j.delays = append(j.delays, float64(max(a.first.Sub(r.At), 0).Microseconds())/1000)
		j.copies(r, *a)
	case r.Class == load.Unknown && wanted:
		j.v.Recovered++
		j.copies(r, *a)
	default:
		j.unexpected(r.ID, *a, "was refused or never sent: "+r.Reply)
	}
}

func (j *Judge) copies(r load.Record, a arrival) {
	more := a.copies - 1
	if more <= 0 {
		return
	}
	j.v.SecondCopies += int64(more)
	if outside := more - j.doubts.of(r.ID, r.QueueID, a.recipient); outside > 0 {
		j.v.OutsideDoubt += int64(outside)
		j.example("copies: %s (%s) reached %s %d times", r.ID, r.QueueID, a.recipient, a.copies)
	}
}

func (j *Judge) unexpected(id string, a arrival, why string) {
	j.v.Unexpected++
	j.example("unexpected: %s reached %s, which %s", id, a.recipient, why)
}

func (j *Judge) example(format string, args ...any) {
	if len(j.v.Examples) < maxExamples {
		j.v.Examples = append(j.v.Examples, fmt.Sprintf(format, args...))
	}
}

// Verdict is given once, when all the evidence is in.
func (j *Judge) Verdict() Verdict {
	for _, r := range j.records {
		j.message(r)
	}
	j.records = nil
	for id, arrived := range j.seen {
		for _, a := range arrived {
			if j.runs[run(id)] {
				j.unexpected(id, a, "load has no record of")
			} else {
				j.v.OtherRuns++
			}
		}
	}
	slices.SortFunc(j.delays, cmp.Compare[float64])
	at := func(q float64) float64 {
		if len(j.delays) == 0 {
			return 0
		}
		return j.delays[min(int(q*float64(len(j.delays))), len(j.delays)-1)]
	}
	j.v.Latency = Latency{P50: at(0.5), P95: at(0.95), P99: at(0.99), Max: at(1)}
	return j.v
}

// run is the run that a message id belongs to.
func run(id string) string {
	return id[:max(strings.LastIndexByte(id, '-'), 0)]
}
