package faults

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"quorumta/bench/load"
	"quorumta/bench/verdict"
)

// Result is what came of one fault.
type Result struct {
	Fault string `json:"fault"`
	// Skipped says what the machine lacks; the rest is then empty.
	Skipped string `json:"skipped,omitempty"`
	// Victim names the nodes that were struck.
	Victim string `json:"victim,omitempty"`
	// Note says what was drawn, where that matters.
	Note string `json:"note,omitempty"`
	// Outcome counts what became of the messages.
	Outcome
	// Differences counts replicas whose state is not that of the others.
	Differences int `json:"differences"`
	// Gap is the longest time without a 250, Takeover from the fault to the
	// first delivery by another node of mail that a victim's shard had, both
	// in seconds; Takeover is negative where none was seen.
	Gap      float64 `json:"gap_s"`
	Takeover float64 `json:"takeover_s"`
	// Restarted are the nodes that had ended and were started again.
	Restarted []string `json:"restarted,omitempty"`
	// Problem says why the cluster did not recover, or could not be asked.
	Problem string `json:"problem,omitempty"`
	// Examples name some of the messages concerned.
	Examples []string `json:"examples,omitempty"`
	Took     float64  `json:"took_s"`
}

// Outcome counts messages, second copies and doubts by recipient; each has one.
type Outcome struct {
	Acknowledged int64 `json:"acknowledged"`
	Lost         int64 `json:"lost"`
	// Transient and Permanent are messages that every node refused, or one
	// for good; Unknown those whose client got no answer to its dot.
	Transient int64 `json:"refused_4xx"`
	Permanent int64 `json:"refused_5xx"`
	Unknown   int64 `json:"unknown"`
	// TurnedAway counts the times that a client turned to the next node.
	TurnedAway int64 `json:"turned_away"`
	// Unexpected arrived though they were refused.
	Unexpected   int64 `json:"unexpected"`
	SecondCopies int64 `json:"second_copies"`
	OutsideDoubt int64 `json:"second_copies_outside_doubt"`
	InDoubt      int64 `json:"in_doubt"`
}

// OK reports whether the promise was kept.
func (r Result) OK() bool {
	return r.Problem == "" && r.Lost == 0 && r.Permanent == 0 && r.Unexpected == 0 && r.OutsideDoubt == 0 && r.Differences == 0
}

func (r *Result) loaded(l load.Report) {
	r.Acknowledged, r.Transient, r.Permanent, r.Unknown = l.Acknowledged, l.Transient, l.Permanent, l.Unknown
	for _, t := range l.Targets {
		r.TurnedAway += t.Refused + t.Broken
	}
	r.Gap = l.LongestGap.Seconds
	for _, refusal := range l.Refusals {
		if refusal.Code/100 == 5 && len(r.Examples) < 3 {
			r.Examples = append(r.Examples, fmt.Sprintf("%s: %d %s", refusal.Stage, refusal.Code, refusal.Text))
		}
	}
}

func (r *Result) judged(v verdict.Verdict) {
	r.Lost, r.Unexpected, r.SecondCopies, r.OutsideDoubt = v.Lost, v.Unexpected, v.SecondCopies, v.OutsideDoubt
	r.Examples = append(r.Examples, v.Examples...)
}

// line is the result for one who looks on.
func (r Result) line() string {
	if r.Skipped != "" {
		return fmt.Sprintf("%s: left out: %s", r.Fault, r.Skipped)
	}
	word := "ok"
	if !r.OK() {
		word = "NOT OK"
	}
	text := fmt.Sprintf("%s: %s: acknowledged %d, lost %d, copies %d (%d outside doubt), 4xx %d, 5xx %d, gap %.2f s, takeover %s, %.0f s",
		r.Fault, word, r.Acknowledged, r.Lost, r.SecondCopies, r.OutsideDoubt, r.Transient, r.Permanent, r.Gap, seconds(r.Takeover), r.Took)
	for _, more := range []string{r.Note, r.Problem} {
		if more != "" {
			text += ": " + more
		}
	}
	return text
}

// Report is all results, in the order in which the faults struck.
type Report struct {
	Seed    uint64   `json:"seed"`
	Nodes   int      `json:"nodes"`
	Rate    float64  `json:"rate"`
	For     float64  `json:"for_s"`
	Results []Result `json:"results"`
}

// OK reports whether the promise was kept in every round.
func (r Report) OK() bool {
	return !slices.ContainsFunc(r.Results, func(f Result) bool { return !f.OK() })
}

// Print writes a table, sorted by name, and what is wrong.
func (r Report) Print(w io.Writer) error {
	sorted := slices.Clone(r.Results)
	slices.SortStableFunc(sorted, func(a, b Result) int { return cmp.Compare(a.Fault, b.Fault) })
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "FAULT\tVICTIM\tACKNOWLEDGED\tLOST\t4XX\t5XX\tUNKNOWN\tCOPIES\tOUTSIDE DOUBT\tIN DOUBT\tDIFFERENCES\tGAP\tTAKEOVER")
	for _, f := range sorted {
		if f.Skipped != "" {
			fmt.Fprintf(t, "%s\tleft out: %s\n", f.Fault, strings.ReplaceAll(f.Skipped, "\n", "; "))
			continue
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%.2f s\t%s\n", f.Fault, f.Victim, f.Acknowledged, f.Lost,
			f.Transient, f.Permanent, f.Unknown, f.SecondCopies, f.OutsideDoubt, f.InDoubt, f.Differences, f.Gap, seconds(f.Takeover))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, f := range sorted {
		if f.OK() {
			continue
		}
		fmt.Fprintf(w, "%s: NOT OK %s\n", f.Fault, f.Problem)
		for _, e := range f.Examples {
			fmt.Fprintln(w, "  ", e)
		}
	}
	_, err := fmt.Fprintf(w, "%d nodes, seed %d\n", r.Nodes, r.Seed)
	return err
}

// seconds is a time, or a dash for one that was not seen.
func seconds(s float64) string {
	if s < 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f s", s)
}
