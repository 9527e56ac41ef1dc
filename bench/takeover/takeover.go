// Package takeover measures what clients and queued mail feel of a node that
// dies or is paused under load: the longest time without a 250 on the nodes
// that live, and how soon the mail of the dead node's shards moves again.
package takeover

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"text/tabwriter"
	"time"

	"quorumta/bench/load"
	"quorumta/bench/proc"
	"quorumta/bench/sink"
	"quorumta/bench/trial"
	"quorumta/bench/verdict"
)

// Options says what is measured. Zero means a default only where it is said.
type Options struct {
	// Binary is the program.
	Binary string
	// Dir gets a folder for each run; "" means a temporary one.
	Dir string
	// Nodes is how many; 0 means 3. Runs is how often; 0 means 10.
	Nodes, Runs int
	// Pause stops the node with SIGSTOP, for PauseFor, instead of killing it.
	Pause    bool
	PauseFor time.Duration
	// For is how long load is made in each run; the fault strikes half-way. 0
	// means 20 s.
	For time.Duration
	// Sessions and Rate are the load's; 0 means 50, and as fast as they go.
	Sessions int
	Rate     float64
	// Delay is how long the next hop takes for each message, so that there is
	// unfinished mail when the fault strikes; 0 means 100 ms.
	Delay time.Duration
}

// Run is the outcome of one run.
type Run struct {
	Acknowledged int64 `json:"acknowledged"`
	// Refused counts refusals of nodes that lived; Gap is their longest time
	// without a 250, seconds.
	Refused int64   `json:"refused"`
	Gap     float64 `json:"gap_s"`
	// Takeover is from the fault to the first delivery from one of the dead
	// node's shards by another node, seconds; negative if none was seen.
	Takeover float64         `json:"takeover_s"`
	Verdict  verdict.Verdict `json:"verdict"`
}

// Report is all runs.
type Report struct {
	Runs []Run `json:"runs"`
}

// OK reports whether no run broke the promise.
func (r Report) OK() bool {
	return !slices.ContainsFunc(r.Runs, func(run Run) bool { return !run.Verdict.OK() })
}

// Median is the middle takeover, Worst the longest, seconds.
func (r Report) Median() float64 { return r.sorted()[len(r.Runs)/2] }

// Worst is the longest takeover, seconds.
func (r Report) Worst() float64 { return r.sorted()[len(r.Runs)-1] }

func (r Report) sorted() []float64 {
	var all []float64
	for _, run := range r.Runs {
		all = append(all, run.Takeover)
	}
	slices.Sort(all)
	return all
}

// Print writes a table.
func (r Report) Print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "RUN\tACKNOWLEDGED\tLOST\tCOPIES\tOUTSIDE DOUBT\tREFUSED\tLONGEST GAP\tTAKEOVER")
	for i, run := range r.Runs {
		fmt.Fprintf(t, "%d\t%d\t%d\t%d\t%d\t%d\t%.2f s\t%.2f s\n", i+1, run.Acknowledged, run.Verdict.Lost,
			run.Verdict.SecondCopies, run.Verdict.OutsideDoubt, run.Refused, run.Gap, run.Takeover)
	}
	fmt.Fprintf(t, "\ntakeover: median %.2f s, worst %.2f s\n", r.Median(), r.Worst())
	return t.Flush()
}

// Measure does the runs one after the other, each with a cluster of its own.
func Measure(ctx context.Context, o Options, say func(string)) (Report, error) {
	o = o.filled()
	var report Report
	for i := range o.Runs {
		run, err := o.once(ctx, i)
		if err != nil {
			return report, fmt.Errorf("run %d: %w", i+1, err)
		}
		say(fmt.Sprintf("run %d: acknowledged %d, lost %d, refused %d, gap %.2f s, takeover %.2f s",
			i+1, run.Acknowledged, run.Verdict.Lost, run.Refused, run.Gap, run.Takeover))
		report.Runs = append(report.Runs, run)
	}
	return report, nil
}

func (o Options) filled() Options {
	if o.Nodes == 0 {
		o.Nodes = 3
	}
	if o.Runs == 0 {
		o.Runs = 10
	}
	if o.For == 0 {
		o.For = 20 * time.Second
	}
	if o.PauseFor == 0 {
		o.PauseFor = 8 * time.Second
	}
	if o.Delay == 0 {
		o.Delay = 100 * time.Millisecond
	}
	return o
}

// once is one run.
func (o Options) once(ctx context.Context, number int) (Run, error) {
	dir := o.Dir
	if dir == "" {
		temp, err := os.MkdirTemp("", "takeover-")
		if err != nil {
			return Run{}, err
		}
		defer func() { _ = os.RemoveAll(temp) }()
		dir = temp
	}
	starting, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	t, err := trial.Start(starting, trial.Options{
		Binary: o.Binary, Dir: filepath.Join(dir, fmt.Sprint("run", number)), Nodes: o.Nodes,
		Sink: sink.Mode{Delay: sink.Duration(o.Delay)},
	})
	if err != nil {
		return Run{}, err
	}
	defer t.Close()
	return o.measure(ctx, t)
}

// measure makes load, strikes half-way, and looks at what came of it.
func (o Options) measure(ctx context.Context, t *trial.Trial) (Run, error) {
	var mu sync.Mutex
	acked := map[string]load.Record{}
	l, err := t.NewLoad(load.Options{
		Sessions: o.Sessions, Rate: o.Rate, Duration: o.For,
		Record: func(r load.Record) {
			mu.Lock()
			defer mu.Unlock()
			if r.Class == load.Acknowledged {
				acked[r.ID] = r
			}
		},
	})
	if err != nil {
		return Run{}, err
	}
	reports := make(chan load.Report, 1)
	go func() { reports <- l.Run(ctx) }()
	half := time.NewTimer(o.For / 2)
	defer half.Stop()
	<-half.C
	f, err := o.strike(ctx, t)
	report := <-reports
	if err != nil {
		return Run{}, err
	}
	if err := t.Sink.SetMode(sink.Mode{}); err != nil { // what is left may go fast
		return Run{}, err
	}
	waiting, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if err := t.WaitEmpty(waiting); err != nil {
		return Run{}, err
	}
	run := Run{Acknowledged: report.Acknowledged, Takeover: f.Takeover(t.Sink, acked)}
	for _, target := range report.Targets {
		if !slices.ContainsFunc(f.Victims, func(v *proc.Node) bool { return v.SMTP == target.Address }) {
			run.Refused += target.Refused
			run.Gap = max(run.Gap, target.LongestGap.Seconds)
		}
	}
	run.Verdict, err = t.Judge(ctx)
	return run, err
}

// strike kills or pauses the node with the most unfinished mail.
func (o Options) strike(ctx context.Context, t *trial.Trial) (Fault, error) {
	victim, err := t.Busiest(ctx)
	if err != nil {
		return Fault{}, err
	}
	f, err := Of(ctx, t, victim)
	if err != nil {
		return f, err
	}
	f.At = time.Now()
	if !o.Pause {
		victim.Kill()
		return f, nil
	}
	if err := victim.Signal(syscall.SIGSTOP); err != nil {
		return f, err
	}
	pause := time.NewTimer(o.PauseFor)
	defer pause.Stop()
	<-pause.C
	return f, victim.Signal(syscall.SIGCONT)
}
