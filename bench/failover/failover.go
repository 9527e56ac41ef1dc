package failover

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"quorumta/bench/load"
	"quorumta/bench/proc"
	"quorumta/bench/trial"
	"quorumta/bench/verdict"
)

// Options says what is measured.
type Options struct {
	// Binary is the program, Dir where it runs, Nodes how many.
	Binary string
	Dir    string
	Nodes  int
	// Rate is messages a second; 0 means Share of what the cluster accepts at
	// most, which is measured first.
	Rate, Share float64
	Sessions    int
	Size        int
	// For is how long load is made: the node that leads most is killed after a
	// quarter of it, and started again after five eighths unless Stay.
	For  time.Duration
	Stay bool
	// Drain is how long the rest may take to be delivered.
	Drain time.Duration
	Say   func(string)
}

// Second is one second of clients' lives.
type Second struct {
	// At is its beginning, seconds after the load's.
	At int `json:"at"`
	// Acknowledged counts messages, Other those that were not; the latencies,
	// from final dot to 250, are milliseconds.
	Acknowledged int     `json:"acknowledged"`
	Other        int     `json:"other"`
	P50          float64 `json:"p50_ms"`
	P99          float64 `json:"p99_ms"`
	Max          float64 `json:"max_ms"`
}

// Report is a node's death.
type Report struct {
	Rate    float64  `json:"rate"`
	Seconds []Second `json:"seconds"`
	// Killed and Started are when the node died and when it was started again,
	// seconds after the load's begin; Started is 0 if it was not.
	Killed  float64 `json:"killed"`
	Started float64 `json:"started,omitempty"`
	// Gap is the longest time without any 250, seconds.
	Gap     float64         `json:"longest_gap_s"`
	Verdict verdict.Verdict `json:"verdict"`
}

// Silent counts whole seconds without a 250.
func (r Report) Silent() int {
	n := 0
	for _, s := range r.Seconds {
		if s.Acknowledged == 0 {
			n++
		}
	}
	return n
}

// WorstP99 is the highest p99 of a second, milliseconds.
func (r Report) WorstP99() float64 {
	worst := 0.0
	for _, s := range r.Seconds {
		worst = max(worst, s.P99)
	}
	return worst
}

// Measure runs a cluster under load, kills a node, and looks.
func Measure(ctx context.Context, o Options) (Report, error) {
	starting, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	t, err := trial.Start(starting, trial.Options{Binary: o.Binary, Dir: o.Dir, Nodes: o.Nodes})
	if err != nil {
		return Report{}, err
	}
	defer t.Close()
	if o.Rate == 0 {
		if o.Rate, err = o.share(ctx, t); err != nil {
			return Report{}, err
		}
	}
	report := Report{Rate: o.Rate}
	var mu sync.Mutex
	var records []load.Record
	l, err := t.NewLoad(load.Options{Sessions: o.Sessions, Size: o.Size, Rate: o.Rate, Duration: o.For, Record: func(r load.Record) {
		mu.Lock()
		records = append(records, r)
		mu.Unlock()
	}})
	if err != nil {
		return report, err
	}
	done := make(chan load.Report, 1)
	started := time.Now()
	go func() { done <- l.Run(ctx) }()
	err = o.strike(ctx, t, started, &report)
	sum := <-done
	if err != nil {
		return report, err
	}
	report.Gap = sum.LongestGap.Seconds
	report.Seconds = seconds(started, o.For, records)
	o.Say(fmt.Sprintf("%d acknowledged, longest gap %.2f s; waiting for the rest", sum.Acknowledged, report.Gap))
	waiting, cancelWait := context.WithTimeout(ctx, o.Drain)
	defer cancelWait()
	if err := t.WaitEmpty(waiting); err != nil {
		return report, err
	}
	report.Verdict, err = t.Judge(ctx)
	return report, err
}

// probing is how long a cluster's maximum is measured.
const probing = 8 * time.Second

// share is the rate that is the wanted share of the maximum.
func (o Options) share(ctx context.Context, t *trial.Trial) (float64, error) {
	r, err := t.Load(ctx, load.Options{Sessions: o.Sessions, Size: o.Size, Duration: probing})
	if err != nil {
		return 0, err
	}
	waiting, cancel := context.WithTimeout(ctx, o.Drain)
	defer cancel()
	o.Say(fmt.Sprintf("at most %.0f/s: the load is %.0f/s", r.Rate, r.Rate*o.Share))
	return r.Rate * o.Share, t.WaitEmpty(waiting)
}

// strike kills the node that leads most, and starts it again.
func (o Options) strike(ctx context.Context, t *trial.Trial, started time.Time, r *Report) error {
	if err := until(ctx, started.Add(o.For/4)); err != nil {
		return err
	}
	victim, err := t.Busiest(ctx)
	if err != nil {
		return err
	}
	victim.Kill()
	r.Killed = time.Since(started).Seconds()
	o.Say(fmt.Sprintf("%s killed after %.1f s", victim.Name, r.Killed))
	if o.Stay {
		return nil
	}
	if err := until(ctx, started.Add(o.For*5/8)); err != nil {
		return err
	}
	r.Started = time.Since(started).Seconds()
	return back(ctx, victim)
}

func back(ctx context.Context, n *proc.Node) error {
	if err := n.Start(); err != nil {
		return err
	}
	return n.WaitReady(ctx)
}

func until(ctx context.Context, at time.Time) error {
	select {
	case <-time.After(time.Until(at)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// seconds sorts what became of messages by when that was known.
func seconds(started time.Time, d time.Duration, records []load.Record) []Second {
	whole := int(d / time.Second)
	out := make([]Second, whole)
	waits := make([][]float64, whole)
	for i := range out {
		out[i].At = i
	}
	for _, r := range records {
		i := int(r.At.Sub(started) / time.Second)
		if i < 0 || i >= whole { // what was under way at the end
			continue
		}
		if r.Class != load.Acknowledged {
			out[i].Other++
			continue
		}
		out[i].Acknowledged++
		waits[i] = append(waits[i], float64(r.TookMicros)/1000)
	}
	for i, w := range waits {
		if len(w) == 0 {
			continue
		}
		slices.Sort(w)
		out[i].P50, out[i].P99, out[i].Max = w[len(w)/2], w[len(w)*99/100], w[len(w)-1]
	}
	return out
}
