package work

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"quorumta/bench/measure"
	"quorumta/bench/sink"
	"quorumta/bench/subject"
)

// Plan is a comparison: every kind does every cell, once in each round.
type Plan struct {
	// Dir is where subjects get their folders.
	Dir    string
	Kinds  []subject.Kind
	Cells  []Cell
	Rounds int
	Options
	// Share, if not 0, replaces each cell's rate by that share of what the
	// kind called Of accepts at most in the cell, which is measured first in
	// each round: so latencies are compared at equal load.
	Share float64
	Of    string
	// Say is told what goes on.
	Say func(string)
}

// Compare carries the plan out. Within a round and a cell the kinds come one
// directly after the other, in random order: what else happens on the machine
// happens to all of them. A kind that fails is said and left out of that cell;
// the error is ctx's alone.
func Compare(ctx context.Context, p Plan) ([]Result, error) {
	var all []Result
	for round := range max(1, p.Rounds) {
		for _, c := range p.Cells {
			c, err := p.offered(ctx, c)
			if err != nil {
				p.Say(err.Error())
				continue
			}
			kinds := slices.Clone(p.Kinds)
			rand.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
			for _, k := range kinds {
				r, err := p.once(ctx, k, c)
				if ctx.Err() != nil {
					return all, ctx.Err()
				}
				if err != nil {
					p.Say(fmt.Sprintf("%s, %s: left out: %v", k.Name, c, err))
					continue
				}
				r.Round = round + 1
				all = append(all, r)
				p.Say(fmt.Sprintf("round %d, %s, %s: accepted %.0f/s, relayed %.0f/s, dot p50 %.1f ms, p99 %.1f ms, CPU %.2f ms",
					r.Round, c, k.Name, r.AcceptRate, r.RelayRate, r.Latency.P50, r.Latency.P99, r.CPU()))
			}
		}
	}
	return all, ctx.Err()
}

// offered is the cell at the load that the plan offers in it.
func (p Plan) offered(ctx context.Context, c Cell) (Cell, error) {
	if p.Share == 0 {
		return c, nil
	}
	i := slices.IndexFunc(p.Kinds, func(k subject.Kind) bool { return k.Name == p.Of })
	if i < 0 {
		return c, fmt.Errorf("the load is to be a share of %q, which is not measured", p.Of)
	}
	r, err := p.once(ctx, p.Kinds[i], c)
	if err != nil {
		return c, fmt.Errorf("what %s accepts at most: %w", p.Of, err)
	}
	c.Rate = p.Share * r.AcceptRate
	p.Say(fmt.Sprintf("%s accepts %.0f/s: %.0f/s are offered to all", p.Of, r.AcceptRate, c.Rate))
	return c, nil
}

// once starts a subject afresh, has it do the cell, and removes it.
func (p Plan) once(ctx context.Context, k subject.Kind, c Cell) (r Result, err error) {
	hop, err := NewHop(sink.Mode{})
	if err != nil {
		return r, err
	}
	defer hop.Close()
	s, remove, err := k.Make(p.Dir, hop.Address())
	if err != nil {
		return r, err
	}
	defer remove()
	defer func() { err = cmp.Or(err, s.Stop()) }()
	if err := s.Start(ctx); err != nil {
		return r, err
	}
	return Run(ctx, k.Name, s, hop, c, p.Options)
}

// Median is the middle of one subject's results in one cell: each figure's own
// median, over all rounds.
func Median(rs []Result) Result {
	m := rs[0]
	m.Round, m.Histogram = len(rs), nil
	m.AcceptRate = middle(rs, func(r Result) float64 { return r.AcceptRate })
	m.RelayRate = middle(rs, func(r Result) float64 { return r.RelayRate })
	m.Latency.P50 = middle(rs, func(r Result) float64 { return r.Latency.P50 })
	m.Latency.P95 = middle(rs, func(r Result) float64 { return r.Latency.P95 })
	m.Latency.P99 = middle(rs, func(r Result) float64 { return r.Latency.P99 })
	m.Latency.Max = middle(rs, func(r Result) float64 { return r.Latency.Max })
	m.ToolCPU = middle(rs, func(r Result) float64 { return r.ToolCPU })
	m.Parts = []Part{{
		Name:      "all",
		CPU:       middle(rs, Result.CPU),
		Written:   middle(rs, Result.Written),
		Memory:    int64(middle(rs, func(r Result) float64 { return float64(r.Memory()) })),
		Processes: int(middle(rs, func(r Result) float64 { return float64(r.Processes()) })),
	}}
	m.Accepted, m.Refused, m.Delivered, m.Copies = 0, 0, 0, 0
	for _, r := range rs {
		m.Accepted += r.Accepted
		m.Refused += r.Refused
		m.Delivered += r.Delivered
		m.Copies += r.Copies
	}
	return m
}

// Processes is the sum over all parts.
func (r Result) Processes() int {
	n := 0
	for _, p := range r.Parts {
		n += p.Processes
	}
	return n
}

func middle(rs []Result, of func(Result) float64) float64 {
	var v []float64
	for _, r := range rs {
		v = append(v, of(r))
	}
	slices.Sort(v)
	if len(v)%2 == 0 {
		return (v[len(v)/2-1] + v[len(v)/2]) / 2
	}
	return v[len(v)/2]
}

// Medians are the medians of each cell and subject, cells in the order of
// their first result, the fastest subject first.
func Medians(rs []Result) []Result {
	var cells []Cell
	first := map[Cell]Cell{} // as it was offered first
	groups := map[Cell]map[string][]Result{}
	for _, r := range rs {
		c := r.Cell
		c.Rate = 0 // drawn anew in each round where load is a share
		if groups[c] == nil {
			groups[c] = map[string][]Result{}
			cells = append(cells, c)
			first[c] = r.Cell
		}
		groups[c][r.Subject] = append(groups[c][r.Subject], r)
	}
	var out []Result
	for _, c := range cells {
		var of []Result
		for _, group := range groups[c] {
			m := Median(group)
			m.Cell = first[c]
			of = append(of, m)
		}
		slices.SortFunc(of, func(a, b Result) int {
			return cmp.Or(cmp.Compare(b.RelayRate, a.RelayRate), cmp.Compare(b.AcceptRate, a.AcceptRate), strings.Compare(a.Subject, b.Subject))
		})
		out = append(out, of...)
	}
	return out
}

// Report is what a comparison leaves behind.
type Report struct {
	Command string        `json:"command"`
	Started time.Time     `json:"started"`
	Took    time.Duration `json:"took_ns"`
	Machine measure.Host  `json:"machine"`
	// Durable says of each subject what its 250 means.
	Durable map[string]string `json:"durable,omitempty"`
	Results []Result          `json:"results"`
	Medians []Result          `json:"medians"`
}
