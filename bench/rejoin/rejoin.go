package rejoin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"quorumta/bench/load"
	"quorumta/bench/proc"
	"quorumta/bench/sink"
	"quorumta/bench/trial"
)

// Options says what is measured. Zero means a default only where it is said.
type Options struct {
	// Binary is the program.
	Binary string
	// Dir gets configurations, data and logs, and is kept; "" means a temporary
	// one.
	Dir string
	// Queued is how many messages wait for a dead next hop; 0 means 100,000.
	Queued int64
	// Size is the bytes of a message; 0 means 10,000.
	Size int
	// Sessions is the load's; 0 means 32.
	Sessions int
	// Before, Alone and After are how long load flows before the node is
	// killed, with the others alone, and when it has caught up; 0 means 20 s,
	// 10 s and 10 s.
	Before, Alone, After time.Duration
	// Window is what rates are counted in; 0 means 2 s.
	Window time.Duration
	// Within bounds catching up, and the delivery of all mail at the end; 0
	// means 10 min each.
	Within time.Duration
	// LogKeep is the configuration's cluster.log_keep; "" leaves it out.
	LogKeep string
}

func (o Options) filled() Options {
	if o.Queued == 0 {
		o.Queued = 100_000
	}
	if o.Size == 0 {
		o.Size = 10_000
	}
	if o.Sessions == 0 {
		o.Sessions = 32
	}
	for d, instead := range map[*time.Duration]time.Duration{
		&o.Before: 20 * time.Second, &o.Alone: 10 * time.Second, &o.After: 10 * time.Second,
		&o.Window: 2 * time.Second, &o.Within: 10 * time.Minute,
	} {
		if *d == 0 {
			*d = instead
		}
	}
	return o
}

const (
	nodes = 3
	// deadDomain is that of the queue's recipients; its next hop is down.
	deadDomain = "dead.example"
	// asking is how often a node is asked how far the other is: each question
	// is a process, which takes its part of the processors.
	asking = 500 * time.Millisecond
)

// Measure does it once; say is told what happens. The error says what could
// not be done.
func Measure(ctx context.Context, o Options, say func(string)) (report Report, err error) {
	o = o.filled()
	report = Report{Queued: o.Queued, Size: o.Size, Window: o.Window.Seconds()}
	if o.Dir == "" {
		if o.Dir, err = os.MkdirTemp("", "rejoin-"); err != nil {
			return report, err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(o.Dir)) }()
	}
	dead, err := sink.Listen(sink.Options{Listen: "127.0.0.1:0", Mode: sink.Mode{Action: sink.Refuse}})
	if err != nil {
		return report, err
	}
	sinking, cancel := context.WithCancel(ctx)
	var sunk sync.WaitGroup
	sunk.Go(func() { _ = dead.Run(sinking) }) // it fails at its end only
	defer sunk.Wait()
	defer cancel()
	starting, started := context.WithTimeout(ctx, time.Minute)
	defer started()
	t, err := trial.Start(starting, trial.Options{
		Binary: o.Binary, Dir: o.Dir, Nodes: nodes, Edit: o.configure(dead.Address()),
	})
	if err != nil {
		return report, err
	}
	defer t.Close()
	t.Others = []*sink.Sink{dead}
	r := &run{o: o, t: t, dead: dead, say: say, report: &report}
	return report, r.run(ctx)
}

// configure sends one domain to a next hop of its own.
func (o Options) configure(dead string) func(string, []byte) []byte {
	return func(_ string, config []byte) []byte {
		router := fmt.Sprintf("routers:\n  - {name: dead, if: rcpt.domain == %q, hosts: [%q]}\n", deadDomain, dead)
		for from, to := range map[string]string{
			"routers:\n":      router,
			"free_disk: 5GB":  "free_disk: 100MB",
			"per_client: 50,": "per_client: 4000,",
		} {
			config = bytes.Replace(config, []byte(from), []byte(to), 1)
		}
		return proc.KeepLog(config, o.LogKeep)
	}
}

// run is one measurement.
type run struct {
	o      Options
	t      *trial.Trial
	dead   *sink.Sink
	say    func(string)
	report *Report

	phases []Phase
	wiped  *proc.Node

	mu    sync.Mutex // guards acked
	acked []time.Time
}

func (r *run) run(ctx context.Context) error {
	if err := r.fill(ctx); err != nil {
		return err
	}
	l, err := r.t.NewLoad(load.Options{Sessions: r.o.Sessions, Size: r.o.Size, Record: r.record})
	if err != nil {
		return err
	}
	loading, stop := context.WithCancel(ctx)
	defer stop()
	reports := make(chan load.Report, 1)
	go func() { reports <- l.Run(loading) }()
	err = r.steps(ctx)
	end := time.Now()
	stop()
	loaded := <-reports
	measure(r.phases, end, r.o.Window, r.acked)
	r.report.Phases = r.phases
	r.report.Refused, r.report.Unknown = loaded.Transient+loaded.Permanent, loaded.Unknown
	if err != nil {
		return err
	}
	return r.judge(ctx)
}

// record notes when messages were acknowledged: one call at a time, in order.
func (r *run) record(rec load.Record) {
	if rec.Class != load.Acknowledged {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.acked = append(r.acked, rec.At)
}

// fill queues the mail that waits.
func (r *run) fill(ctx context.Context) error {
	r.say(fmt.Sprintf("queueing %d messages", r.o.Queued))
	l, err := r.t.Load(ctx, load.Options{
		Sessions: r.o.Sessions, Count: r.o.Queued, Size: r.o.Size, Domains: []string{deadDomain},
	})
	if err != nil {
		return err
	}
	r.report.Filled = l.Rate
	if l.Acknowledged != r.o.Queued {
		return fmt.Errorf("only %d of %d were acknowledged: %v", l.Acknowledged, r.o.Queued, l.Refusals[:min(3, len(l.Refusals))])
	}
	return nil
}

// steps goes through the phases while load flows.
func (r *run) steps(ctx context.Context) error {
	r.phase(Before)
	if err := proc.Sleep(ctx, r.o.Before); err != nil {
		return err
	}
	r.wiped = r.t.Cluster.Nodes[nodes-1]
	r.phase(Alone)
	r.wiped.Kill()
	if err := os.RemoveAll(r.data()); err != nil {
		return err
	}
	if err := proc.Sleep(ctx, r.o.Alone); err != nil {
		return err
	}
	r.phase(Rejoining)
	if err := r.rejoin(ctx); err != nil {
		return err
	}
	r.phase(After)
	return proc.Sleep(ctx, r.o.After)
}

func (r *run) phase(name string) {
	r.say(name)
	r.phases = append(r.phases, Phase{Name: name, began: time.Now()})
}

// data is where the wiped node keeps what it has.
func (r *run) data() string { return filepath.Join(filepath.Dir(r.wiped.Config), "data") }

// rejoin has the node taken back and waits until it has caught up.
func (r *run) rejoin(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, r.o.Within)
	defer cancel()
	began := time.Now()
	var then proc.Status
	if err := r.t.Cluster.Query(ctx, &then, "cluster", "status"); err != nil {
		return err
	}
	if err := r.t.Cluster.Rejoin(ctx, r.wiped); err != nil {
		return err
	}
	lack := ""
	err := trial.Wait(ctx, r.wiped.Name+" to catch up", asking, func() (bool, error) {
		if !r.wiped.Running() {
			return false, fmt.Errorf("%s has ended: see %s", r.wiped.Name, r.wiped.LogFile)
		}
		var now proc.Status
		if err := r.t.Cluster.Nodes[0].Query(ctx, &now, "cluster", "status"); err != nil {
			lack = err.Error()
			return false, nil
		}
		lack = behind(then, now, r.wiped.Name)
		return lack == "", nil
	})
	if err != nil {
		return fmt.Errorf("%w: %s", err, lack)
	}
	r.report.CaughtUp = time.Since(began).Seconds()
	return r.moved()
}

// behind says what the cluster lacks, or the node of what was committed then;
// "" for nothing.
func behind(then, now proc.Status, node string) string {
	if lack := now.Missing(nodes, nodes); lack != "" {
		return lack
	}
	return now.Behind(then, node)
}

// moved notes what the node has taken.
func (r *run) moved() error {
	var err error
	if r.report.Written, err = r.wiped.Written(); err != nil {
		return err
	}
	r.report.Data = proc.DiskUse(r.data())
	r.report.Snapshots, err = r.t.Cluster.Snapshots(r.wiped.Name)
	return err
}

// judge has the dead next hop live again, waits for all mail, and compares.
func (r *run) judge(ctx context.Context) error {
	r.say("delivering all")
	ctx, cancel := context.WithTimeout(ctx, r.o.Within)
	defer cancel()
	if err := r.dead.SetMode(sink.Mode{}); err != nil {
		return err
	}
	err := trial.Wait(ctx, "an empty queue", time.Second, func() (bool, error) {
		var count proc.Count
		if err := r.t.Cluster.Query(ctx, &count, "queue", "count"); err != nil {
			return false, nil // too busy: ask again
		}
		if count.Deferred > 0 {
			if out, err := r.t.Cluster.Nodes[0].Command(ctx, "queue", "retry", "--domain", deadDomain); err != nil {
				return false, fmt.Errorf("%w: %s", err, out)
			}
		}
		return count.Total == 0 && len(count.Stale) == 0, nil
	})
	if err != nil {
		return err
	}
	if r.report.Differences, err = r.t.Differences(ctx); err != nil {
		return err
	}
	r.report.Verdict, err = r.t.Judge(ctx)
	return err
}
