package summary

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"quorumta/bench/faults"
)

// Markdown writes what was done, a table with a row for each fault, their
// sums, and a line for each round that did not end well.
func Markdown(w io.Writer, reports ...faults.Report) error {
	text := []string{heading(reports), "",
		"| fault | what happens | rounds | not ok | acknowledged | lost | 4xx | 5xx | unknown | copies | outside doubt | differences | gap, s: median / worst | takeover, s: median / 99 of 100 / worst |",
		"| --- | --- | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: | --- | --- |"}
	all := Row{Fault: "all"}
	for _, r := range Of(reports...) {
		text = append(text, fmt.Sprintf("| `%s` | %s | %s | %s | %s |", r.Fault, faults.About(r.Fault), r.counts(),
			r.Gap.join(r.Gap.Median, r.Gap.Worst), r.Takeover.join(r.Takeover.Median, r.Takeover.P99, r.Takeover.Worst)))
		all.add(r)
	}
	text = append(text, fmt.Sprintf("| **all** | | %s | | |", all.counts()))
	if all.NotOK > 0 {
		text = append(text, "")
	}
	for _, report := range reports {
		for _, r := range report.Results {
			if !r.OK() && r.Skipped == "" {
				text = append(text, fmt.Sprintf("- seed %d, `%s`: %s", report.Seed, r.Fault, wrong(r)))
			}
		}
	}
	_, err := fmt.Fprintln(w, strings.Join(text, "\n"))
	return err
}

// heading says of what the table is.
func heading(reports []faults.Report) string {
	var nodes, seeds, rates, lengths []string
	for _, r := range reports {
		nodes = append(nodes, strconv.Itoa(r.Nodes))
		seeds = append(seeds, strconv.FormatUint(r.Seed, 10))
		rates = append(rates, fmt.Sprint(r.Rate))
		lengths = append(lengths, fmt.Sprint(r.For))
	}
	once := func(words []string) string {
		var out []string
		for _, word := range words {
			if !slices.Contains(out, word) {
				out = append(out, word)
			}
		}
		return strings.Join(out, ", ")
	}
	return fmt.Sprintf("%s nodes; seeds %s; %s messages a second; rounds of %s s.", once(nodes), once(seeds), once(rates), once(lengths))
}

// add adds the counters of another row.
func (r *Row) add(o Row) {
	r.Rounds += o.Rounds
	r.NotOK += o.NotOK
	r.Acknowledged += o.Acknowledged
	r.Lost += o.Lost
	r.Transient += o.Transient
	r.Permanent += o.Permanent
	r.Unknown += o.Unknown
	r.SecondCopies += o.SecondCopies
	r.OutsideDoubt += o.OutsideDoubt
	r.Differences += o.Differences
}

// counts are the cells with numbers.
func (r Row) counts() string {
	var cells []string
	for _, n := range []int64{int64(r.Rounds), int64(r.NotOK), r.Acknowledged, r.Lost, r.Transient, r.Permanent,
		r.Unknown, r.SecondCopies, r.OutsideDoubt, int64(r.Differences)} {
		cells = append(cells, thousands(n))
	}
	return strings.Join(cells, " | ")
}

func (t Times) join(times ...float64) string {
	if t.Count == 0 {
		return "–"
	}
	var words []string
	for _, s := range times {
		words = append(words, fmt.Sprintf("%.2f", s))
	}
	return strings.Join(words, " / ")
}

// wrong says what a round came to that did not end well.
func wrong(r faults.Result) string {
	words := slices.Clone(r.Examples)
	for _, more := range []string{r.Note, r.Problem} {
		if more != "" {
			words = append(words, more)
		}
	}
	if len(words) == 0 {
		return fmt.Sprintf("lost %d, 5xx %d, unexpected %d, outside doubt %d, differences %d", r.Lost, r.Permanent, r.Unexpected, r.OutsideDoubt, r.Differences)
	}
	return strings.ReplaceAll(strings.Join(words, "; "), "\n", "; ")
}

// thousands writes a number with a comma after each third digit.
func thousands(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
