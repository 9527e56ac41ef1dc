package demo

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"quorumta/bench/load"
	"quorumta/bench/proc"
	"quorumta/bench/trial"
)

// view prints what goes on, once a second.
type view struct {
	trial   *trial.Trial
	load    *load.Load
	live    bool
	started time.Time

	mu    sync.Mutex // guards all below
	out   io.Writer
	lines int // of the picture on the screen that is to be rewritten
}

// run shows the view until ctx ends.
func (v *view) run(ctx context.Context) {
	for pause(ctx, time.Second) {
		v.show(ctx)
	}
}

// say prints a line that stays.
func (v *view) say(text string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.clearLocked()
	fmt.Fprintf(v.out, "%6.1fs  %s\n", time.Since(v.started).Seconds(), text)
}

// show prints the picture.
func (v *view) show(ctx context.Context) {
	r := v.load.Report()
	s := v.trial.Sink.Stats()
	var status proc.Status
	asking, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	err := v.trial.Cluster.Query(asking, &status, "cluster", "status")
	v.mu.Lock()
	defer v.mu.Unlock()
	v.clearLocked()
	picture := fmt.Sprintf("%6.1fs  accepted %7d  delivered %7d  copies beyond one %d  4xx %d  5xx %d  longest gap %.2fs\n",
		time.Since(v.started).Seconds(), r.Acknowledged, s.Recipients, s.Copies-s.Recipients, r.Transient, r.Permanent, r.LongestGap.Seconds)
	if err == nil {
		picture += "         " + leads(status) + "\n"
	}
	fmt.Fprint(v.out, picture)
	v.lines = strings.Count(picture, "\n")
}

// clearLocked takes the last picture off the screen.
func (v *view) clearLocked() {
	if v.live && v.lines > 0 {
		fmt.Fprintf(v.out, "\x1b[%dA\x1b[J", v.lines)
	}
	v.lines = 0
}

// leads says who leads what.
func leads(s proc.Status) string {
	var out []string
	for _, n := range s.Nodes {
		state := "dead"
		if n.Alive {
			state = fmt.Sprintf("leads %v", n.Leads)
		}
		out = append(out, n.Name+" "+state)
	}
	return strings.Join(out, "   ")
}
