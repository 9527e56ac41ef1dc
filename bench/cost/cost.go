package cost

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"quorumta/bench/measure"
	"quorumta/bench/sink"
	"quorumta/bench/subject"
	"quorumta/bench/work"
)

// Options says what is measured.
type Options struct {
	// Cluster is what runs, Dir where.
	Cluster subject.QuorumtaOptions
	Dir     string
	Cell    work.Cell
	Work    work.Options
	// Idle is how long the cluster is watched doing nothing; 0: not at all.
	Idle time.Duration
	// NoSyncs leaves out a second run, under strace, in which syncs are
	// counted.
	NoSyncs bool
}

// Node is what one node spends.
type Node struct {
	Name string `json:"name"`
	// For each message that the cluster accepted: milliseconds of processor
	// time; bytes written to disk, by the bytes of the message; syncs; bytes
	// sent to other nodes, by the bytes of the message; allocations and the
	// bytes of them.
	CPU         float64 `json:"cpu_ms"`
	Written     float64 `json:"written_per_byte"`
	Syncs       float64 `json:"syncs"`
	Sent        float64 `json:"sent_per_byte"`
	Allocations float64 `json:"allocations"`
	Allocated   float64 `json:"allocated_bytes"`
	// Idle is processor time of an idle second, milliseconds.
	Idle float64 `json:"idle_cpu_ms_per_s"`
	// Memory is anonymous memory at the end, bytes.
	Memory int64 `json:"memory"`
}

// Report is all nodes, and what they did.
type Report struct {
	Nodes  []Node      `json:"nodes"`
	Sum    Node        `json:"sum"`
	Result work.Result `json:"result"`
}

// Measure runs a cluster and measures it; a second one under strace, whose
// figures but for syncs are forgotten.
func Measure(ctx context.Context, o Options) (Report, error) {
	report, err := once(ctx, o, false)
	if err != nil || o.NoSyncs {
		report.add()
		return report, err
	}
	traced, err := once(ctx, o, true)
	if err != nil {
		return report, fmt.Errorf("counting syncs: %w", err)
	}
	for i := range report.Nodes {
		report.Nodes[i].Syncs = traced.Nodes[i].Syncs
	}
	report.add()
	return report, nil
}

// add makes the sum.
func (r *Report) add() {
	r.Sum = Node{Name: "all"}
	for _, n := range r.Nodes {
		r.Sum.CPU += n.CPU
		r.Sum.Written += n.Written
		r.Sum.Syncs += n.Syncs
		r.Sum.Sent += n.Sent
		r.Sum.Allocations += n.Allocations
		r.Sum.Allocated += n.Allocated
		r.Sum.Idle += n.Idle
		r.Sum.Memory += n.Memory
	}
}

// once is one cluster's life.
func once(ctx context.Context, o Options, traced bool) (report Report, err error) {
	hop, err := work.NewHop(sink.Mode{})
	if err != nil {
		return report, err
	}
	defer hop.Close()
	dir, err := os.MkdirTemp(o.Dir, "cost-")
	if err != nil {
		return report, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if traced {
		o.Cluster.Under = func(node string) []string {
			return []string{"strace", "-f", "--seccomp-bpf", "-q", "-e", "trace=fsync,fdatasync,sync_file_range,syncfs",
				"-e", "signal=none", "-o", traceFile(dir, node)}
		}
	}
	c, err := subject.NewCluster(subject.Place{Dir: dir, Hop: hop.Address()}, o.Cluster)
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, c.Stop()) }()
	if err := c.Start(ctx); err != nil {
		return report, err
	}
	if o.Work.Warm > 0 {
		if _, err := work.Run(ctx, "warm-up", c, hop, o.Cell, work.Options{For: o.Work.Warm}); err != nil {
			return report, err
		}
		o.Work.Warm = 0
	}
	b := bench{c: c, dir: dir, traced: traced}
	before, err := b.read(ctx)
	if err != nil {
		return report, err
	}
	report.Result, err = work.Run(ctx, fmt.Sprintf("quorumta-%d", len(c.Nodes)), c, hop, o.Cell, o.Work)
	if err != nil {
		return report, err
	}
	after, err := b.read(ctx)
	if err != nil {
		return report, err
	}
	report.Nodes = b.nodes(report.Result, o.Cell, before, after)
	if o.Idle > 0 && !traced {
		return report, idle(ctx, c, o.Idle, report.Nodes)
	}
	return report, nil
}

func traceFile(dir, node string) string { return filepath.Join(dir, node+".strace") }

// bench reads what work.Run does not.
type bench struct {
	c      *subject.Cluster
	dir    string
	traced bool
}

// reading is one look at all nodes.
type reading struct {
	pages   []measure.Page
	traffic measure.Traffic
	syncs   []int
}

func (b bench) read(ctx context.Context) (r reading, err error) {
	var addresses []string
	for _, n := range b.c.Nodes {
		page, err := freshPage(ctx, n.Metrics)
		if err != nil {
			return r, err
		}
		r.pages = append(r.pages, page)
		addresses = append(addresses, n.Cluster)
		syncs := 0
		if b.traced {
			if syncs, err = countSyncs(traceFile(b.dir, n.Name)); err != nil {
				return r, err
			}
		}
		r.syncs = append(r.syncs, syncs)
	}
	r.traffic, err = measure.ReadTraffic(ctx, addresses)
	return r, err
}

// allocations is the counter that tells whether a page's figures of the Go
// runtime are fresh: they are read anew every so often only, and every node
// allocates all the time.
const allocations = "go_memory_allocations_total"

// freshPage reads a page when its figures of the Go runtime have just changed.
func freshPage(ctx context.Context, address string) (measure.Page, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	first, err := measure.ReadPage(ctx, address)
	for err == nil {
		var next measure.Page
		next, err = measure.ReadPage(ctx, address)
		if err == nil && next[allocations] != first[allocations] {
			return next, nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return nil, fmt.Errorf("%s of %s stands still: %w", allocations, address, ctx.Err())
		}
	}
	return nil, err
}

// countSyncs counts the calls in a trace; one that was interrupted stands on
// two lines.
func countSyncs(path string) (int, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("read the trace: %w", err)
	}
	n := 0
	for line := range bytes.Lines(text) {
		if bytes.Contains(line, []byte("sync")) && !bytes.Contains(line, []byte(" resumed>")) {
			n++
		}
	}
	return n, nil
}

// nodes are the differences, by message.
func (b bench) nodes(r work.Result, c work.Cell, before, after reading) []Node {
	messages := float64(max(1, r.Accepted))
	sent := after.traffic.Since(before.traffic)
	var out []Node
	for i, p := range r.Parts {
		n := Node{Name: p.Name, CPU: p.CPU, Written: p.Written, Memory: p.Memory}
		n.Syncs = float64(after.syncs[i]-before.syncs[i]) / messages
		for _, pid := range b.c.Groups()[i].PIDs() {
			n.Sent += float64(sent[pid]) / messages / float64(c.Size)
		}
		n.Allocations = (after.pages[i][allocations] - before.pages[i][allocations]) / messages
		n.Allocated = (after.pages[i]["go_memory_allocated_bytes_total"] - before.pages[i]["go_memory_allocated_bytes_total"]) / messages
		out = append(out, n)
	}
	return out
}

// idle watches the cluster do nothing.
func idle(ctx context.Context, c *subject.Cluster, d time.Duration, nodes []Node) error {
	var before []time.Duration
	for _, g := range c.Groups() {
		u, err := g.Usage()
		if err != nil {
			return err
		}
		before = append(before, u.CPU)
	}
	select {
	case <-time.After(d):
	case <-ctx.Done():
		return ctx.Err()
	}
	for i, g := range c.Groups() {
		u, err := g.Usage()
		if err != nil {
			return err
		}
		nodes[i].Idle = float64(u.CPU-before[i]) / float64(time.Millisecond) / d.Seconds()
	}
	return nil
}

// Lines are the rows of a table: each node, then the sum.
func (r Report) Lines() []string {
	var out []string
	for _, n := range append(r.Nodes[:len(r.Nodes):len(r.Nodes)], r.Sum) {
		out = append(out, strings.Join([]string{
			n.Name, fmt.Sprintf("%.2f", n.CPU), fmt.Sprintf("%.2f", n.Written), fmt.Sprintf("%.2f", n.Syncs),
			fmt.Sprintf("%.2f", n.Sent), fmt.Sprintf("%.0f", n.Allocations), fmt.Sprintf("%.1f", n.Allocated/1000),
			fmt.Sprintf("%.1f", n.Idle), fmt.Sprint(n.Memory / 1_000_000),
		}, "\t"))
	}
	return out
}

// Header names the columns of Lines.
const Header = "CPU ms\twritten/byte\tsyncs\tsent/byte\tallocations\tallocated KB\tidle ms/s\tmemory MB"
