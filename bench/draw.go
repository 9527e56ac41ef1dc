package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"quorumta/bench/plot"
	"quorumta/bench/work"
)

// drawing is something of package plot.
type drawing interface {
	WriteSVG(w io.Writer) error
}

// draw writes out-NAME.svg; with out "" it does nothing.
func draw(out, name string, d drawing) error {
	if out == "" {
		return nil
	}
	f, err := os.Create(out + "-" + name + ".svg")
	if err != nil {
		return fmt.Errorf("draw %s: %w", name, err)
	}
	return errors.Join(d.WriteSVG(f), f.Close())
}

// drawComparison draws the medians as bars, and each cell's latencies.
func drawComparison(out string, r work.Report) error {
	return errors.Join(
		draw(out, "rate", bars(r.Medians, "Messages relayed a second", "messages/s", func(r work.Result) float64 {
			if r.RelayRate == 0 {
				return r.AcceptRate
			}
			return r.RelayRate
		})),
		draw(out, "accept", bars(r.Medians, "Messages accepted a second", "messages/s", func(r work.Result) float64 { return r.AcceptRate })),
		draw(out, "p99", bars(r.Medians, "Final dot to its answer, 99 of 100", "ms", func(r work.Result) float64 { return r.Latency.P99 })),
		draw(out, "cpu", bars(r.Medians, "Processor time for each message, all nodes", "ms", work.Result.CPU)),
		drawLatencies(out, r.Results),
	)
}

// bars are one figure of medians: cells are groups, subjects bars.
func bars(medians []work.Result, title, unit string, of func(work.Result) float64) plot.Bars {
	b := plot.Bars{Title: title, YLabel: unit}
	for _, m := range medians {
		if !slices.Contains(b.Groups, m.Cell.String()) {
			b.Groups = append(b.Groups, m.Cell.String())
		}
		if !slices.Contains(b.Names, m.Subject) {
			b.Names = append(b.Names, m.Subject)
		}
	}
	slices.Sort(b.Names)
	for range b.Groups {
		b.Values = append(b.Values, slices.Repeat([]float64{-1}, len(b.Names)))
	}
	for _, m := range medians {
		b.Values[slices.Index(b.Groups, m.Cell.String())][slices.Index(b.Names, m.Subject)] = of(m)
	}
	return b
}

// drawLatencies draws for the first cell what share of final dots waited
// longer than so long, all rounds together.
func drawLatencies(out string, rs []work.Result) error {
	l := plot.Lines{
		Title:  "Final dot to its answer, " + rs[0].Cell.String(),
		XLabel: "waited longer than, ms", YLabel: "of 100 messages", LogX: true, LogY: true,
	}
	counts := map[string]map[float64]int64{}
	for _, r := range rs {
		if r.Cell.Size != rs[0].Cell.Size || r.Cell.Sessions != rs[0].Cell.Sessions || r.Cell.PerConnection != rs[0].Cell.PerConnection {
			continue
		}
		if counts[r.Subject] == nil {
			counts[r.Subject] = map[float64]int64{}
		}
		for _, b := range r.Histogram {
			counts[r.Subject][b.UpTo] += b.Count
		}
	}
	for _, name := range sortedKeys(counts) {
		l.Series = append(l.Series, plot.Series{Name: name, Points: longer(counts[name])})
	}
	return draw(out, "latency", l)
}

// longer is what share, in hundredths, exceeds each bound.
func longer(counts map[float64]int64) []plot.Point {
	var total int64
	for _, n := range counts {
		total += n
	}
	var points []plot.Point
	left := total
	for _, bound := range sortedKeys(counts) {
		left -= counts[bound]
		if left > 0 {
			points = append(points, plot.Point{X: bound, Y: 100 * float64(left) / float64(total)})
		}
	}
	return points
}

// sortedKeys are a map's keys, ascending.
func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
