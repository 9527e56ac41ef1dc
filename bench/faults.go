package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"text/tabwriter"
	"time"

	"quorumta/bench/faults"
	"quorumta/bench/faults/summary"
)

// faultsCmd is bench faults.
type faultsCmd struct {
	Binary  string        `help:"The program: go build -o quorumta ./cmd/quorumta." type:"existingfile"`
	All     bool          `help:"Try every fault, in random sequence."`
	Fault   []string      `help:"Try this one; may be given again."`
	Repeat  int           `help:"Go through them so often; medians and worst are printed." default:"1"`
	List    bool          `help:"Say what faults there are."`
	Table   bool          `help:"Try nothing; make a Markdown table of earlier reports."`
	Reports []string      `arg:"" optional:"" help:"With --table: what --json wrote." type:"existingfile"`
	Seed    uint64        `help:"Repeat this sequence; 0: draw one." default:"0"`
	Nodes   int           `help:"Nodes of the cluster." default:"3"`
	For     time.Duration `help:"Load in each round." default:"15s"`
	Rate    float64       `help:"Messages a second." default:"50"`
	Plain   bool          `help:"No namespaces and no file systems, and no faults that need them."`
	Dir     string        `help:"Keep configurations and logs here." type:"path"`
	JSON    string        `help:"Write the report here." type:"path" name:"json"`
}

// faultsReport is what --json writes.
type faultsReport struct {
	faults.Report
	Summary []summary.Row `json:"summary"`
}

// Run tries the faults and fails where the promise was broken.
func (c *faultsCmd) Run(ctx context.Context) error {
	if c.List {
		return c.list()
	}
	if c.Table {
		return c.table(os.Stdout)
	}
	if c.Binary == "" || c.All == (len(c.Fault) > 0) || len(c.Reports) > 0 {
		return errors.New("say --binary FILE and either --all or --fault NAME; --list names the faults; --table REPORT... makes a table")
	}
	if c.Seed == 0 {
		c.Seed = rand.Uint64N(1_000_000) + 1
	}
	report, err := faults.Run(ctx, faults.Options{
		Binary: c.Binary, Dir: c.Dir, Nodes: c.Nodes, Faults: c.Fault, Repeat: c.Repeat, Seed: c.Seed,
		For: c.For, Rate: c.Rate, Plain: c.Plain,
	}, func(line string) { fmt.Fprintln(os.Stderr, line) })
	if len(report.Results) > 0 {
		err = errors.Join(err, c.report(os.Stdout, report))
	}
	if err == nil && !report.OK() {
		err = errVerdict
	}
	return err
}

func (c *faultsCmd) report(w io.Writer, report faults.Report) error {
	rows := summary.Of(report)
	err := report.Print(w)
	if err == nil && c.Repeat > 1 {
		err = summary.Print(w, rows)
	}
	return errors.Join(err, writeJSON(c.JSON, faultsReport{report, rows}))
}

func (c *faultsCmd) list() error {
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	for _, name := range faults.Names() {
		fmt.Fprintf(w, "%s\t%s\n", name, faults.About(name))
	}
	return w.Flush()
}

// table merges reports.
func (c *faultsCmd) table(w io.Writer) error {
	if len(c.Reports) == 0 {
		return errors.New("name the reports that --json wrote")
	}
	var reports []faults.Report
	for _, path := range c.Reports {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var r faults.Report
		if err := json.Unmarshal(text, &r); err != nil {
			return fmt.Errorf("%s is no report: %w", path, err)
		}
		reports = append(reports, r)
	}
	return summary.Markdown(w, reports...)
}

// writeJSON writes a report to a file; "" is none.
func writeJSON(path string, report any) error {
	if path == "" {
		return nil
	}
	text, err := json.MarshalIndent(report, "", "  ")
	if err == nil {
		err = os.WriteFile(path, text, 0o644)
	}
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}
