package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// Run tries the faults one after the other and reports on each; say is told
// what happens. What it made is taken away in any case. The error is one of
// the machine's, or of ctx; what the cluster did wrong is in the report.
func Run(ctx context.Context, o Options, say func(string)) (report Report, err error) {
	o = o.filled()
	report = Report{Seed: o.Seed, Nodes: o.Nodes, Rate: o.Rate, For: o.For.Seconds()}
	sequence, err := o.sequence()
	if err != nil {
		return report, err
	}
	if err := sweep(); err != nil {
		say(fmt.Sprintf("what an earlier run has left stays: %v", err))
	}
	dir := o.Dir
	if dir == "" {
		if dir, err = os.MkdirTemp("", fmt.Sprintf("%s%d-", tempPrefix, os.Getpid())); err != nil {
			return report, err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return report, err
	}
	s := &series{o: o, dir: dir, say: say}
	defer func() { err = errors.Join(err, s.end()) }()
	for i, f := range sequence {
		if ctx.Err() != nil {
			return report, ctx.Err()
		}
		result, err := s.try(ctx, f, rand.New(rand.NewPCG(o.Seed, uint64(i+1))))
		report.Results = append(report.Results, result)
		say(result.line())
		if err != nil {
			return report, err
		}
	}
	return report, ctx.Err()
}

// series is a sequence of rounds on one bed, or more.
type series struct {
	o    Options
	dir  string
	say  func(string)
	bed  *bed // nil: the next round makes one
	beds int
}

// try does one round. Its error means that no bed can be made.
func (s *series) try(ctx context.Context, f fault, random *rand.Rand) (Result, error) {
	if err := f.needs.missing(s.o.Plain); err != nil {
		return Result{Fault: f.name, Skipped: err.Error()}, nil
	}
	if f.large {
		if err := s.end(); err != nil {
			return Result{Fault: f.name, Problem: err.Error()}, err
		}
	}
	if s.bed == nil {
		s.beds++
		b, err := makeBed(ctx, s.o, filepath.Join(s.dir, fmt.Sprint("bed", s.beds)))
		if err != nil {
			return Result{Fault: f.name, Problem: err.Error()}, err
		}
		s.bed = b
	}
	s.say(f.name + ": " + f.about)
	result := s.bed.try(ctx, f, random)
	if result.Problem == "" && !f.large {
		return result, nil
	}
	return result, s.end()
}

// end takes the bed away.
func (s *series) end() error {
	if s.bed == nil {
		return nil
	}
	b := s.bed
	s.bed = nil
	return b.close()
}
