// Package summary puts the results of many rounds of faults together: one row
// for each fault, with sums of what was counted and quantiles of what was
// timed.
package summary

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"text/tabwriter"

	"quorumta/bench/faults"
)

// Row is what came of one fault.
type Row struct {
	Fault string `json:"fault"`
	// Rounds are those that were tried, NotOK those of them that broke the
	// promise or that the cluster did not recover from.
	Rounds int `json:"rounds"`
	NotOK  int `json:"not_ok"`
	// Outcome sums up all rounds.
	faults.Outcome
	Differences int `json:"differences"`
	// Gap is the longest time without a 250, Takeover from the fault to the
	// first delivery by another node, of the rounds in which there was one.
	Gap      Times `json:"gap_s"`
	Takeover Times `json:"takeover_s"`
}

// Times are quantiles, in seconds.
type Times struct {
	// Count is of how many.
	Count  int     `json:"count"`
	Median float64 `json:"median"`
	// P99 is what 99 in 100 do not exceed: the worst, of fewer than 100.
	P99   float64 `json:"p99"`
	Worst float64 `json:"worst"`
}

// NewTimes are the quantiles of times.
func NewTimes(times []float64) Times {
	n := len(times)
	if n == 0 {
		return Times{}
	}
	sorted := slices.Sorted(slices.Values(times))
	return Times{
		Count:  n,
		Median: (sorted[(n-1)/2] + sorted[n/2]) / 2,
		P99:    sorted[int(math.Ceil(0.99*float64(n)))-1],
		Worst:  sorted[n-1],
	}
}

// Of are the rows of all faults that were tried, by name.
func Of(reports ...faults.Report) []Row {
	rounds := map[string][]faults.Result{}
	for _, report := range reports {
		for _, r := range report.Results {
			if r.Skipped == "" {
				rounds[r.Fault] = append(rounds[r.Fault], r)
			}
		}
	}
	var rows []Row
	for name, results := range rounds {
		rows = append(rows, newRow(name, results))
	}
	slices.SortFunc(rows, func(a, b Row) int { return cmp.Compare(a.Fault, b.Fault) })
	return rows
}

func newRow(name string, results []faults.Result) Row {
	row := Row{Fault: name, Rounds: len(results)}
	var gaps, takeovers []float64
	for _, r := range results {
		row.Acknowledged += r.Acknowledged
		row.Lost += r.Lost
		row.Transient += r.Transient
		row.Permanent += r.Permanent
		row.Unknown += r.Unknown
		row.TurnedAway += r.TurnedAway
		row.Unexpected += r.Unexpected
		row.SecondCopies += r.SecondCopies
		row.OutsideDoubt += r.OutsideDoubt
		row.InDoubt += r.InDoubt
		row.Differences += r.Differences
		if !r.OK() {
			row.NotOK++
		}
		if r.Problem != "" {
			continue // a round that was broken off times nothing
		}
		gaps = append(gaps, r.Gap)
		if r.Takeover >= 0 {
			takeovers = append(takeovers, r.Takeover)
		}
	}
	row.Gap, row.Takeover = NewTimes(gaps), NewTimes(takeovers)
	return row
}

// Print writes a table of the times for a terminal.
func Print(w io.Writer, rows []Row) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "FAULT\tROUNDS\tNOT OK\t4XX\tGAP\t99 OF 100\tWORST\tTAKEOVER\t99 OF 100\tWORST\tSEEN")
	for _, r := range rows {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t%d\n", r.Fault, r.Rounds, r.NotOK, r.Transient,
			r.Gap.seconds(r.Gap.Median), r.Gap.seconds(r.Gap.P99), r.Gap.seconds(r.Gap.Worst),
			r.Takeover.seconds(r.Takeover.Median), r.Takeover.seconds(r.Takeover.P99), r.Takeover.seconds(r.Takeover.Worst), r.Takeover.Count)
	}
	return t.Flush()
}

// seconds is one of the times, or a dash where there are none.
func (t Times) seconds(s float64) string {
	if t.Count == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f", s)
}
