package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"quorumta/bench/failover"
	"quorumta/bench/measure"
	"quorumta/bench/plot"
)

// failoverCmd is bench failover.
type failoverCmd struct {
	Binary   string        `help:"The program: go build -o quorumta ./cmd/quorumta." required:"" type:"existingfile"`
	Nodes    int           `help:"Nodes of the cluster." default:"3"`
	Share    float64       `help:"The load, as a share of what the cluster accepts at most." default:"0.7"`
	Rate     float64       `help:"The load, messages a second, instead." default:"0"`
	Sessions int           `help:"Sessions, spread over all nodes." default:"50"`
	Size     int           `help:"Bytes of a message." default:"10000"`
	For      time.Duration `help:"How long load is made; the node dies after a quarter of it." default:"40s"`
	Stay     bool          `help:"The node stays dead; else it is started again after five eighths."`
	Drain    time.Duration `help:"How long the rest may take to be delivered." default:"2m"`
	Dir      string        `help:"Data goes below this." type:"path"`
	Out      string        `help:"JSON and plots go here, NAME.json and NAME-….svg." type:"path"`
}

// failoverReport is what it leaves behind.
type failoverReport struct {
	Started time.Time    `json:"started"`
	Machine measure.Host `json:"machine"`
	failover.Report
}

// Run measures and fails where the promise was broken.
func (c *failoverCmd) Run(ctx context.Context) error {
	dir, remove, err := workDir(c.Dir)
	if err != nil {
		return err
	}
	defer remove()
	report := failoverReport{Started: time.Now().UTC(), Machine: measure.ThisHost()}
	report.Report, err = failover.Measure(ctx, failover.Options{
		Binary: c.Binary, Dir: filepath.Join(dir, "cluster"), Nodes: c.Nodes, Rate: c.Rate, Share: c.Share,
		Sessions: c.Sessions, Size: c.Size, For: c.For, Stay: c.Stay, Drain: c.Drain,
		Say: func(line string) { fmt.Fprintln(os.Stderr, line) },
	})
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "second\tacknowledged\tother\tp50 ms\tp99\tmax\t")
	for _, s := range report.Seconds {
		fmt.Fprintf(w, "%d\t%d\t%d\t%.1f\t%.1f\t%.1f\t\n", s.At, s.Acknowledged, s.Other, s.P50, s.P99, s.Max)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Printf("killed after %.1f s under %.0f/s: seconds without 250 %d, longest gap %.2f s, p99 of the worst second %.0f ms, lost %d, second copies %d (%d outside doubt)\n",
		report.Killed, report.Rate, report.Silent(), report.Gap, report.WorstP99(), report.Verdict.Lost, report.Verdict.SecondCopies, report.Verdict.OutsideDoubt)
	err = errors.Join(writeOut(c.Out, report), c.draw(report.Report))
	if !report.Verdict.OK() {
		err = errors.Join(err, errVerdict)
	}
	return err
}

// draw draws the seconds.
func (c *failoverCmd) draw(r failover.Report) error {
	rate := plot.Series{Name: "acknowledged/s"}
	other := plot.Series{Name: "refused or broken/s"}
	p50, p99, longest := plot.Series{Name: "median"}, plot.Series{Name: "99 of 100"}, plot.Series{Name: "longest"}
	for _, s := range r.Seconds {
		x := float64(s.At) + 0.5
		rate.Points = append(rate.Points, plot.Point{X: x, Y: float64(s.Acknowledged)})
		other.Points = append(other.Points, plot.Point{X: x, Y: float64(s.Other)})
		p50.Points = append(p50.Points, plot.Point{X: x, Y: s.P50})
		p99.Points = append(p99.Points, plot.Point{X: x, Y: s.P99})
		longest.Points = append(longest.Points, plot.Point{X: x, Y: s.Max})
	}
	marks := []plot.Mark{{X: r.Killed, Text: "kill -9"}}
	if r.Started > 0 {
		marks = append(marks, plot.Mark{X: r.Started, Text: "started again"})
	}
	title := fmt.Sprintf("A node of %d dies under %.0f messages/s", c.Nodes, r.Rate)
	return errors.Join(
		draw(c.Out, "rate", plot.Lines{Title: title, XLabel: "seconds", YLabel: "messages/s", Series: []plot.Series{rate, other}, Marks: marks}),
		draw(c.Out, "latency", plot.Lines{Title: title + ": final dot to its answer", XLabel: "seconds", YLabel: "ms", LogY: true,
			Series: []plot.Series{p50, p99, longest}, Marks: marks}),
	)
}
