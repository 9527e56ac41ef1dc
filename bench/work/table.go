package work

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// Print writes a table of medians: results of one cell stand together, each
// with its share of the first base that was measured in the cell.
func Print(w io.Writer, medians []Result, bases ...string) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "cell\tsubject\trounds\taccept/s\trelay/s\tdot p50 ms\tp95\tp99\tmax\tCPU ms\twritten/byte\tmemory MB\tprocesses\tundelivered\tcopies\trefused\ttool ms\t")
	for _, b := range bases {
		fmt.Fprintf(t, "× %s\t", b)
	}
	fmt.Fprintln(t)
	for _, r := range medians {
		fmt.Fprintf(t, "%s\t%s\t%d\t%.0f\t%.0f\t%.1f\t%.1f\t%.1f\t%.0f\t%.2f\t%.1f\t%d\t%d\t%d\t%d\t%d\t%.2f\t",
			r.Cell, r.Subject, r.Round, r.AcceptRate, r.RelayRate, r.Latency.P50, r.Latency.P95, r.Latency.P99, r.Latency.Max,
			r.CPU(), r.Written(), r.Memory()/1_000_000, r.Processes(), r.Accepted-r.Delivered, r.Copies, r.Refused, r.ToolCPU)
		for _, b := range bases {
			fmt.Fprintf(t, "%s\t", Ratio(medians, r, b))
		}
		fmt.Fprintln(t)
	}
	return t.Flush()
}

// Ratio is a result's relay rate by that of the subject base in the same cell,
// or the accept rate where nothing was relayed; "" where base has none.
func Ratio(medians []Result, r Result, base string) string {
	for _, b := range medians {
		if b.Subject != base || b.Cell != r.Cell {
			continue
		}
		if b.RelayRate > 0 {
			return fmt.Sprintf("%.2f", r.RelayRate/b.RelayRate)
		}
		if b.AcceptRate > 0 {
			return fmt.Sprintf("%.2f", r.AcceptRate/b.AcceptRate)
		}
	}
	return ""
}
