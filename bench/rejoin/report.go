package rejoin

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"quorumta/bench/verdict"
)

// Report is what came of it.
type Report struct {
	Queued int64   `json:"queued"`
	Size   int     `json:"size"`
	Filled float64 `json:"filled_per_s"`
	Window float64 `json:"window_s"`
	Phases []Phase `json:"phases"`
	// CaughtUp is from the command that takes the node back until it has all
	// that was committed then and votes in every shard, seconds.
	CaughtUp float64 `json:"caught_up_s"`
	// Written is what the node has written to its disk by then, Data what its
	// files hold, bytes; Snapshots how many it was given.
	Written   int64 `json:"written"`
	Data      int64 `json:"data"`
	Snapshots int   `json:"snapshots"`
	// Refused counts messages that every node refused under load, Unknown
	// those without an answer to their dot.
	Refused int64 `json:"refused"`
	Unknown int64 `json:"unknown"`
	// Differences counts replicas whose state is not that of the others.
	Differences int             `json:"differences"`
	Verdict     verdict.Verdict `json:"verdict"`
}

// leastShare of the rate before is what must be left while the node catches up.
const leastShare = 0.6

// Share is the rate while the node catches up, as a part of that in another
// phase: on average and in the worst window.
func (r Report) Share(of string) (mean, lowest float64) {
	rejoining, other := r.phase(Rejoining), r.phase(of)
	if other.Rate == 0 {
		return 0, 0
	}
	return rejoining.Rate / other.Rate, rejoining.Lowest / other.Rate
}

func (r Report) phase(name string) Phase {
	for _, p := range r.Phases {
		if p.Name == name {
			return p
		}
	}
	return Phase{}
}

// OK reports whether nothing was lost and enough of the rate was left on
// average.
func (r Report) OK() bool {
	mean, _ := r.Share(Before)
	return r.Verdict.OK() && r.Differences == 0 && mean >= leastShare
}

// Print writes a table.
func (r Report) Print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintf(t, "PHASE\tSECONDS\tACCEPTED/S\tLOWEST\tWINDOWS OF %.0f S\n", r.Window)
	for _, p := range r.Phases {
		var windows []string
		for _, rate := range p.Windows {
			windows = append(windows, fmt.Sprintf("%.0f", rate))
		}
		fmt.Fprintf(t, "%s\t%.1f\t%.0f\t%.0f\t%s\n", p.Name, p.Seconds, p.Rate, p.Lowest, strings.Join(windows, " "))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, of := range []string{Before, Alone} {
		mean, lowest := r.Share(of)
		fmt.Fprintf(w, "while it caught up, of the rate %s: %.0f %%, in the worst window %.0f %%\n", of, 100*mean, 100*lowest)
	}
	fmt.Fprintf(w, "caught up after %.1f s: %d snapshots, %d MB written, %d MB held; %d messages of %d bytes were queued at %.0f/s\n",
		r.CaughtUp, r.Snapshots, r.Written/1e6, r.Data/1e6, r.Queued, r.Size, r.Filled)
	for _, e := range r.Verdict.Examples {
		fmt.Fprintln(w, e)
	}
	v := r.Verdict
	_, err := fmt.Fprintf(w, "acknowledged %d, refused %d, unknown %d, lost %d, unexpected %d, second copies %d (%d outside the in-doubt list), differences %d\n",
		v.Acknowledged, r.Refused, r.Unknown, v.Lost, v.Unexpected, v.SecondCopies, v.OutsideDoubt, r.Differences)
	return err
}
