package work

import (
	"context"
	"fmt"
	"time"

	"quorumta/bench/load"
	"quorumta/bench/measure"
	"quorumta/bench/sink"
	"quorumta/bench/subject"
)

// Result is what one subject did with one cell.
type Result struct {
	Subject string `json:"subject"`
	Round   int    `json:"round"`
	Cell    Cell   `json:"cell"`
	// Accepted counts messages acknowledged, Refused the others. AcceptRate is
	// those accepted a second while clients sent; RelayRate those that the next
	// hop had, by the time from the first client's start to the last arrival.
	Accepted   int64   `json:"accepted"`
	Refused    int64   `json:"refused"`
	Delivered  int64   `json:"delivered"`
	Copies     int64   `json:"second_copies"`
	AcceptRate float64 `json:"accept_rate"`
	RelayRate  float64 `json:"relay_rate"`
	// Latency is from the final dot to its answer.
	Latency   load.Latency  `json:"latency"`
	Histogram []load.Bucket `json:"histogram,omitempty"`
	// Parts are what each node spent, from the first message to the last
	// arrival; ToolCPU is what load and next hop spent, ms per message.
	Parts   []Part  `json:"parts"`
	ToolCPU float64 `json:"tool_cpu_ms"`
}

// Part is what one node of a subject spent.
type Part struct {
	Name string `json:"name"`
	// CPU is milliseconds for each message that the whole subject accepted.
	CPU float64 `json:"cpu_ms"`
	// Written is bytes to disk for each byte that the whole subject accepted.
	Written float64 `json:"written_per_byte"`
	// Memory is anonymous memory at the end, bytes.
	Memory    int64 `json:"memory"`
	Processes int   `json:"processes"`
}

// CPU is the sum over all parts, milliseconds per message.
func (r Result) CPU() float64 {
	var sum float64
	for _, p := range r.Parts {
		sum += p.CPU
	}
	return sum
}

// Written is the sum over all parts, bytes to disk per byte accepted.
func (r Result) Written() float64 {
	var sum float64
	for _, p := range r.Parts {
		sum += p.Written
	}
	return sum
}

// Memory is the sum over all parts, bytes.
func (r Result) Memory() int64 {
	var sum int64
	for _, p := range r.Parts {
		sum += p.Memory
	}
	return sum
}

// Complete reports whether everything accepted arrived, once.
func (r Result) Complete() bool { return r.Delivered == r.Accepted && r.Copies == 0 }

// Standstill is how long nothing may arrive before we give the rest up, and
// settling how long after the last arrival the subject may write down that it
// was one.
const (
	Standstill = 5 * time.Second
	settling   = 300 * time.Millisecond
)

// Run does a cell's work to a subject that runs and delivers to the hop.
func Run(ctx context.Context, name string, s subject.Subject, h *Hop, c Cell, o Options) (Result, error) {
	o = o.withDefaults()
	if err := h.SetMode(mode(o)); err != nil {
		return Result{}, err
	}
	if o.Warm > 0 {
		if _, _, err := send(ctx, s, h, c, Options{For: o.Warm, Drain: o.Drain, Held: o.Held}); err != nil {
			return Result{}, fmt.Errorf("%s: warm-up: %w", name, err)
		}
	}
	before, err := usages(s)
	if err != nil {
		return Result{}, err
	}
	own, seen := measure.Self(), h.Stats()
	report, last, err := send(ctx, s, h, c, o)
	if err != nil {
		return Result{}, fmt.Errorf("%s: %w", name, err)
	}
	after, err := usages(s)
	if err != nil {
		return Result{}, err
	}
	now := h.Stats()
	r := Result{
		Subject: name, Cell: c, Accepted: report.Acknowledged,
		Refused:   report.Transient + report.Permanent + report.Unknown + report.Unsent,
		Delivered: now.Recipients - seen.Recipients, AcceptRate: report.Rate,
		Latency: report.Latency, Histogram: report.Histogram,
	}
	r.Copies = now.Copies - seen.Copies - r.Delivered
	if !o.Held {
		r.RelayRate = float64(r.Delivered) / last.Sub(report.Started).Seconds()
	}
	messages := float64(max(1, r.Accepted))
	r.ToolCPU = milliseconds(measure.Self()-own) / messages
	for i, g := range s.Groups() {
		u := after[i].Since(before[i])
		r.Parts = append(r.Parts, Part{Name: g.Name(), CPU: milliseconds(u.CPU) / messages,
			Written: float64(u.Written) / messages / float64(c.Size), Memory: u.Memory, Processes: u.Processes})
	}
	return r, ctx.Err()
}

func mode(o Options) sink.Mode {
	if o.Held {
		return sink.Mode{Action: sink.Refuse}
	}
	return sink.Mode{}
}

// send makes the load and waits for what was acknowledged to arrive; last is
// when that was, or the end of the load where nothing can arrive.
func send(ctx context.Context, s subject.Subject, h *Hop, c Cell, o Options) (r load.Report, last time.Time, err error) {
	l, err := load.New(load.Options{
		Targets: s.Addresses(), Sessions: c.Sessions, Rate: c.Rate, Duration: o.For, Count: o.Count, Size: c.Size,
		PerConnection: c.PerConnection, ConnectTimeout: 5 * time.Second, CommandTimeout: time.Minute,
		DotTimeout: 2 * time.Minute,
	})
	if err != nil {
		return r, last, err
	}
	seen := h.Stats().Recipients
	r = l.Run(ctx)
	if r.Acknowledged == 0 {
		return r, last, fmt.Errorf("nothing was accepted: %v", r.Refusals[:min(1, len(r.Refusals))])
	}
	if o.Held {
		return r, r.Ended, nil
	}
	last, _ = h.Wait(ctx, seen, r.Acknowledged, Standstill, o.Drain)
	select {
	case <-time.After(settling):
	case <-ctx.Done():
	}
	return r, last, nil
}

func usages(s subject.Subject) ([]measure.Usage, error) {
	var out []measure.Usage
	for _, g := range s.Groups() {
		u, err := g.Usage()
		if err != nil {
			return nil, err
		}
		out = append(out, u)
	}
	return out, nil
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
