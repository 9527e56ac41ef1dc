package members

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"quorumta/bench/load"
	"quorumta/bench/verdict"
)

// Stage is a change of size and the steady time after it.
type Stage struct {
	// From and To are how many nodes there were and are; From is 0 for those
	// that found the cluster.
	From int `json:"from"`
	To   int `json:"to"`
	// Took is from the first command until every shard had all its replicas,
	// seconds.
	Took float64 `json:"took_s"`
	// Acknowledged, Refused and Unknown are messages: refused by every node,
	// and without an answer to their dot within a second.
	Acknowledged int64 `json:"acknowledged"`
	Refused      int64 `json:"refused"`
	Unknown      int64 `json:"unknown"`
	// Gap is the longest time without a 250 from any node, seconds.
	Gap float64 `json:"gap_s"`

	began time.Time
}

func (s Stage) name() string {
	if s.From == 0 {
		return fmt.Sprintf("%d founded", s.To)
	}
	return fmt.Sprintf("%d → %d", s.From, s.To)
}

// Report is what came of it.
type Report struct {
	Rate   float64 `json:"rate"`
	Stages []Stage `json:"stages"`
	// Refusals are the first messages that every node refused.
	Refusals []load.Record `json:"refusals,omitempty"`
	// Differences counts replicas whose state is not that of the others.
	Differences int             `json:"differences"`
	Verdict     verdict.Verdict `json:"verdict"`
}

const maxRefusals = 5

// newReport counts what became of the messages, which are in the order of
// their times, in the stage in which they ended.
func newReport(o Options, stages []Stage, records []load.Record) Report {
	report := Report{Rate: o.Rate, Stages: stages}
	at := 0
	var last time.Time
	for _, r := range records {
		for at+1 < len(stages) && !r.At.Before(stages[at+1].began) {
			at++
		}
		if len(stages) == 0 {
			break
		}
		s := &stages[at]
		switch r.Class {
		case load.Acknowledged:
			s.Acknowledged++
			if !last.IsZero() {
				s.Gap = max(s.Gap, r.At.Sub(last).Seconds())
			}
			last = r.At
		case load.Unknown:
			s.Unknown++
		case load.Transient, load.Permanent:
			s.Refused++
			if len(report.Refusals) < maxRefusals {
				report.Refusals = append(report.Refusals, r)
			}
		}
	}
	return report
}

// total sums the stages up.
func (r Report) total() Stage {
	var sum Stage
	for _, s := range r.Stages {
		sum.Took += s.Took
		sum.Acknowledged += s.Acknowledged
		sum.Refused += s.Refused
		sum.Unknown += s.Unknown
		sum.Gap = max(sum.Gap, s.Gap)
	}
	return sum
}

// OK reports whether nothing was lost or refused, no second copy was made
// outside the in-doubt list, and the replicas are equal.
func (r Report) OK() bool {
	return r.Verdict.OK() && r.total().Refused == 0 && r.Differences == 0
}

// Print writes a table.
func (r Report) Print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "NODES\tTOOK\tACKNOWLEDGED\tREFUSED\tUNKNOWN\tGAP")
	row := func(name string, s Stage) {
		fmt.Fprintf(t, "%s\t%.1f s\t%d\t%d\t%d\t%.2f s\n", name, s.Took, s.Acknowledged, s.Refused, s.Unknown, s.Gap)
	}
	for _, s := range r.Stages {
		row(s.name(), s)
	}
	row("all", r.total())
	if err := t.Flush(); err != nil {
		return err
	}
	for _, x := range r.Refusals {
		fmt.Fprintf(w, "refused: %s at %s by %s: %s: %d %s\n", x.ID, x.At.UTC().Format(time.RFC3339Nano), x.Target, x.Stage, x.Code, x.Reply)
	}
	for _, e := range r.Verdict.Examples {
		fmt.Fprintln(w, e)
	}
	v := r.Verdict
	_, err := fmt.Fprintf(w, "%.0f messages/s: acknowledged %d, lost %d, unexpected %d, second copies %d (%d outside the in-doubt list), differences %d\n",
		r.Rate, v.Acknowledged, v.Lost, v.Unexpected, v.SecondCopies, v.OutsideDoubt, r.Differences)
	return err
}
