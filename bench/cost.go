package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"quorumta/bench/cost"
	"quorumta/bench/measure"
	"quorumta/bench/plot"
	"quorumta/bench/work"
)

// costCmd is bench cost.
type costCmd struct {
	clusterFlags
	gridFlags
	Idle    time.Duration `help:"How long clusters are watched idle; 0: not at all." default:"3s"`
	NoSyncs bool          `help:"Do not count syncs, in a second run under strace."`
}

// costReport is what cost and scale leave behind.
type costReport struct {
	Command string        `json:"command"`
	Started time.Time     `json:"started"`
	Machine measure.Host  `json:"machine"`
	Reports []cost.Report `json:"reports"`
}

// Run measures each cluster with each cell.
func (c *costCmd) Run(ctx context.Context) error {
	report, err := c.measure(ctx)
	if len(report.Reports) == 0 {
		return err
	}
	return errors.Join(err, printCosts(report.Reports), writeOut(c.Out, report), c.drawCosts(report.Reports))
}

func (c *costCmd) measure(ctx context.Context) (costReport, error) {
	report := costReport{Command: strings.Join(os.Args[1:], " "), Started: time.Now().UTC(), Machine: measure.ThisHost()}
	dir, remove, err := workDir(c.Dir)
	if err != nil {
		return report, err
	}
	defer remove()
	p := c.plan()
	for round := range c.Rounds {
		for _, cell := range p.Cells {
			for _, nodes := range c.Nodes {
				r, err := cost.Measure(ctx, cost.Options{Cluster: c.options(nodes), Dir: dir, Cell: cell, Work: p.Options,
					Idle: c.Idle, NoSyncs: c.NoSyncs})
				if err != nil {
					return report, err
				}
				r.Result.Round = round + 1
				p.Say(fmt.Sprintf("round %d, %d nodes, %s: %.2f ms, written %.2f, syncs %.2f", round+1, nodes, cell, r.Sum.CPU, r.Sum.Written, r.Sum.Syncs))
				report.Reports = append(report.Reports, r)
			}
		}
	}
	return report, nil
}

func printCosts(reports []cost.Report) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "cell\tround\tcluster\tnode\t"+cost.Header+"\t")
	for _, r := range reports {
		for _, line := range r.Lines() {
			fmt.Fprintf(w, "%s\t%d\t%s\t%s\t\n", r.Result.Cell, r.Result.Round, r.Result.Subject, line)
		}
	}
	return w.Flush()
}

// drawCosts draws what all nodes together spend.
func (c *costCmd) drawCosts(reports []cost.Report) error {
	var rs []work.Result
	for _, r := range reports {
		rs = append(rs, r.Result)
	}
	medians := work.Medians(rs)
	return errors.Join(
		draw(c.Out, "cpu", bars(medians, "Processor time for each message, all nodes", "ms", work.Result.CPU)),
		draw(c.Out, "written", bars(medians, "Bytes written for each byte accepted, all nodes", "bytes", work.Result.Written)),
	)
}

// scaleCmd is bench scale.
type scaleCmd struct {
	Binary string        `help:"The program: go build -o quorumta ./cmd/quorumta." required:"" type:"existingfile"`
	Nodes  []int         `help:"Nodes of each cluster; the number of replicas is 3, or 1 of one node." default:"1,3,5,7,9"`
	Rate   float64       `help:"Messages a second: the same for all." default:"200"`
	Size   int           `help:"Bytes of a message." default:"10000"`
	For    time.Duration `help:"How long clients send to each cluster." default:"10s"`
	Rounds int           `help:"How often." default:"3"`
	Dir    string        `help:"Data goes below this." type:"path"`
	Out    string        `help:"JSON and a plot go here, NAME.json and NAME-….svg." type:"path"`
}

// Run measures clusters of growing size at one load.
func (c *scaleCmd) Run(ctx context.Context) error {
	all := costCmd{
		clusterFlags: clusterFlags{Binary: c.Binary, Nodes: c.Nodes},
		gridFlags: gridFlags{Sizes: []int{c.Size}, Sessions: []int{50}, Carry: []int{100}, Rate: c.Rate, For: c.For,
			Warm: 2 * time.Second, Drain: 30 * time.Second, Rounds: c.Rounds, Dir: c.Dir, Out: c.Out},
		Idle: 3 * time.Second, NoSyncs: true,
	}
	report, err := all.measure(ctx)
	if len(report.Reports) == 0 {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "nodes\tround\taccept/s\tdot p50 ms\tp99\tCPU ms/message\tof it idle\tand node\twritten/byte\tsent/byte\t")
	sum, each := plot.Series{Name: "all nodes", Dots: true}, plot.Series{Name: "each node", Dots: true}
	for _, r := range report.Reports {
		nodes := float64(len(r.Nodes))
		idle := r.Sum.Idle / r.Result.AcceptRate
		fmt.Fprintf(w, "%.0f\t%d\t%.0f\t%.1f\t%.1f\t%.2f\t%.2f\t%.3f\t%.1f\t%.2f\t\n", nodes, r.Result.Round, r.Result.AcceptRate,
			r.Result.Latency.P50, r.Result.Latency.P99, r.Sum.CPU, idle, r.Sum.CPU/nodes, r.Sum.Written, r.Sum.Sent)
		if r.Result.Round == 1 {
			sum.Points = append(sum.Points, plot.Point{X: nodes, Y: r.Sum.CPU})
			each.Points = append(each.Points, plot.Point{X: nodes, Y: r.Sum.CPU / nodes})
		}
	}
	return errors.Join(err, w.Flush(), writeOut(c.Out, report), draw(c.Out, "cpu", plot.Lines{
		Title: fmt.Sprintf("Processor time for each message, %s, %.0f/s", work.Size(int64(c.Size)), c.Rate), XLabel: "nodes", YLabel: "ms",
		Series: []plot.Series{sum, each},
	}))
}
