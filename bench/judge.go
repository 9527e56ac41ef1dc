package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"quorumta/bench/load"
	"quorumta/bench/sink"
	"quorumta/bench/verdict"
)

// verdictCmd is bench verdict.
type verdictCmd struct {
	Load   []string `help:"What load wrote." required:"" type:"existingfile"`
	Sink   []string `help:"What the sinks wrote." required:"" type:"existingfile"`
	Events string   `help:"What quorumta events printed: its in-doubt recipients may have copies." type:"existingfile"`
	JSON   bool     `help:"Print the verdict as JSON."`
}

// Run reads, judges and prints; it fails if the verdict does.
func (c *verdictCmd) Run() error {
	j, err := newJudge(c.Events)
	if err != nil {
		return err
	}
	for _, path := range c.Sink {
		if err := readFile(path, j.ReadSink); err != nil {
			return err
		}
	}
	for _, path := range c.Load {
		if err := readFile(path, j.ReadLoad); err != nil {
			return err
		}
	}
	return say(j.Verdict(), c.JSON)
}

// runCmd is bench run.
type runCmd struct {
	loadFlags
	sinkFlags
	Settle time.Duration `help:"Wait so long without progress for acknowledged mail to arrive." default:"30s"`
	Events string        `help:"A file, or a pipe, with what quorumta events prints; read at the end." type:"path"`
}

// Run makes load, waits until what was acknowledged has arrived or nothing
// arrives any more, and judges.
func (c *runCmd) Run(ctx context.Context) error {
	s, stop, err := c.start(ctx)
	if err != nil {
		return err
	}
	var records []load.Record
	l, err := load.New(c.loadFlags.options(func(r load.Record) { records = append(records, r) }))
	if err != nil {
		return errors.Join(err, stop())
	}
	report := l.Run(ctx)
	settle(ctx, s, report.Recipients, c.Settle)
	if err := errors.Join(stop(), printReport(os.Stderr, report)); err != nil {
		return err
	}
	j, err := newJudge(c.Events)
	if err != nil {
		return err
	}
	j.Stats(s.Stats())
	for _, r := range records {
		j.Record(r)
	}
	err = s.Each(func(v sink.Seen) error {
		j.Seen(v)
		return nil
	})
	if err != nil {
		return err
	}
	return say(j.Verdict(), c.JSON)
}

// settle waits until the sink has seen so many recipients, or nothing new for
// some time.
func settle(ctx context.Context, s *sink.Sink, recipients int64, patience time.Duration) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var seen int64
	progress := time.Now()
	for time.Since(progress) < patience {
		now := s.Stats().Recipients
		if now >= recipients {
			return
		}
		if now != seen {
			seen, progress = now, time.Now()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// newJudge makes a judge that knows the events of a file; "" is none.
func newJudge(events string) (*verdict.Judge, error) {
	var d verdict.Doubts
	if events == "" {
		return verdict.NewJudge(d), nil
	}
	err := readFile(events, func(r io.Reader) (err error) {
		d, err = verdict.ReadDoubts(r)
		return err
	})
	return verdict.NewJudge(d), err
}

func readFile(path string, read func(io.Reader) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := read(f); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func say(v verdict.Verdict, asJSON bool) error {
	print := v.Print
	if asJSON {
		print = func(w io.Writer) error { return printJSON(w, v) }
	}
	if err := print(os.Stdout); err != nil {
		return err
	}
	if !v.OK() {
		return errVerdict
	}
	return nil
}
