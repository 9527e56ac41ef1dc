// Package demo shows the main job on one machine: a cluster of real processes
// between a built-in load and a built-in next hop, with a live view, and with
// nodes that die while one watches.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"time"

	"quorumta/bench/load"
	"quorumta/bench/proc"
	"quorumta/bench/trial"
	"quorumta/bench/verdict"
)

// Options says what is shown.
type Options struct {
	// Binary is the program itself.
	Binary string
	Nodes  int
	// For is how long load is made.
	For time.Duration
	// Chaos kills nodes meanwhile.
	Chaos bool
	// Keep leaves the cluster's folder behind.
	Keep bool
	// Rate is messages a second, Sessions how many connections carry them.
	Rate     float64
	Sessions int
	// Live rewrites the view in place, as a terminal can.
	Live bool
}

// The rhythm of chaos: a node is killed after a time of calm, and started
// again after a time of being missed.
const (
	calm   = 5 * time.Second
	missed = 3 * time.Second
)

// settle is how long the queue may take to empty at the end.
const settle = 2 * time.Minute

// ErrBroken is returned when the promise was broken.
var ErrBroken = errors.New("the promise was broken: see the table above")

// Run shows the demo and returns ErrBroken if anything acknowledged was lost
// or came twice without being in doubt.
func Run(ctx context.Context, o Options, out io.Writer) error {
	dir, err := os.MkdirTemp("", "quorumta-demo-")
	if err != nil {
		return fmt.Errorf("make a folder for the demo: %w", err)
	}
	if o.Keep {
		fmt.Fprintln(out, "configurations, data and logs are in", dir)
	} else {
		defer func() { _ = os.RemoveAll(dir) }()
	}
	fmt.Fprintf(out, "starting %d nodes on loopback, each a process with a disk folder of its own …\n", o.Nodes)
	starting, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	t, err := trial.Start(starting, trial.Options{Binary: o.Binary, Dir: dir, Nodes: o.Nodes})
	if err != nil {
		return fmt.Errorf("start the cluster: %w", err)
	}
	defer t.Close()
	v, err := play(ctx, o, t, out)
	if err != nil {
		return err
	}
	if err := v.Print(out); err != nil {
		return err
	}
	if !v.OK() {
		return ErrBroken
	}
	fmt.Fprintf(out, "lost %d\n", v.Lost)
	return nil
}

// play runs load, chaos and view side by side, then waits for the last
// delivery and passes the verdict.
func play(ctx context.Context, o Options, t *trial.Trial, out io.Writer) (verdict.Verdict, error) {
	l, err := t.NewLoad(load.Options{Sessions: o.Sessions, Rate: o.Rate, Duration: o.For})
	if err != nil {
		return verdict.Verdict{}, err
	}
	w := &view{trial: t, load: l, out: out, live: o.Live, started: time.Now()}
	during, over := context.WithCancel(ctx)
	chaos := make(chan error, 1)
	go func() {
		if !o.Chaos {
			chaos <- nil
			return
		}
		chaos <- kill(during, t, w.say)
	}()
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		w.run(during)
	}()
	l.Run(ctx)
	over()
	err = <-chaos
	<-watched
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return verdict.Verdict{}, err
	}
	w.say("load has ended; waiting for the last deliveries")
	waiting, cancel := context.WithTimeout(ctx, settle)
	defer cancel()
	if err := t.WaitEmpty(waiting); err != nil {
		w.say("some mail is still queued: " + err.Error())
	}
	w.show(ctx)
	return t.Judge(ctx)
}

// kill kills one node after the other with SIGKILL and starts it again, and
// leaves all of them running when ctx ends.
func kill(ctx context.Context, t *trial.Trial, say func(string)) error {
	for pause(ctx, calm) {
		victim, err := choose(ctx, t)
		if err != nil {
			return nil // ctx has ended, or nobody can be asked: nothing more to kill
		}
		say("SIGKILL to " + victim.Name)
		victim.Kill()
		pause(ctx, missed)
		say("starting " + victim.Name + " again")
		if err := victim.Start(); err != nil {
			return err
		}
		ready, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		err = victim.WaitReady(ready)
		cancel()
		if err != nil {
			return err
		}
	}
	return nil
}

// choose takes the node with the most unfinished mail, or any every other
// time.
func choose(ctx context.Context, t *trial.Trial) (*proc.Node, error) {
	if rand.IntN(2) == 0 {
		return t.Cluster.Nodes[rand.IntN(len(t.Cluster.Nodes))], nil
	}
	return t.Busiest(ctx)
}

// pause waits and reports whether ctx goes on.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
