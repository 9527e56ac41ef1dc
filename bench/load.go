package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"quorumta/bench/load"
)

// loadFlags are load.Options on the command line.
type loadFlags struct {
	Targets        []string      `help:"The nodes' SMTP addresses, host:port." required:""`
	Sessions       int           `help:"Connections, spread over all targets." default:"50"`
	Rate           float64       `help:"Messages a second over all sessions; 0: as fast as they go." default:"0"`
	For            time.Duration `help:"How long." default:"0s"`
	Count          int64         `help:"How many messages." default:"0"`
	Size           int           `help:"Bytes of a message." default:"10000"`
	Recipients     int           `help:"Recipients of each message." default:"1"`
	Domains        []string      `help:"The recipients' domains, in turn." default:"sink.example"`
	From           string        `help:"The reverse-path." default:"load@bench.example"`
	PerConnection  int           `help:"Messages a connection carries." default:"100"`
	ConnectTimeout time.Duration `help:"For connect, greeting and EHLO together." default:"1s"`
	CommandTimeout time.Duration `help:"For the replies up to 354." default:"10s"`
	DotTimeout     time.Duration `help:"For the reply to the final dot." default:"60s"`
	JSON           bool          `help:"Print the report as JSON."`
}

func (f loadFlags) options(record func(load.Record)) load.Options {
	return load.Options{
		Targets: f.Targets, Sessions: f.Sessions, Rate: f.Rate, Duration: f.For, Count: f.Count,
		Size: f.Size, Recipients: f.Recipients, Domains: f.Domains, From: f.From,
		PerConnection: f.PerConnection, ConnectTimeout: f.ConnectTimeout,
		CommandTimeout: f.CommandTimeout, DotTimeout: f.DotTimeout, Record: record,
	}
}

// loadCmd is bench load.
type loadCmd struct {
	loadFlags
	Out string `help:"Write what became of each message here, as JSON lines." type:"path"`
}

// Run makes load until it is done or interrupted.
func (c *loadCmd) Run(ctx context.Context) error {
	out := lines{}
	if c.Out != "" {
		if err := out.create(c.Out); err != nil {
			return err
		}
	}
	l, err := load.New(c.options(func(r load.Record) { out.add(r) }))
	if err != nil {
		return err
	}
	report := l.Run(ctx)
	return errors.Join(c.print(os.Stdout, report), out.close())
}

func (f loadFlags) print(w io.Writer, r load.Report) error {
	if f.JSON {
		return printJSON(w, r)
	}
	return printReport(w, r)
}

func printReport(w io.Writer, r load.Report) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "target\tacknowledged\t4xx\t5xx\tunknown\trefused\tbroken\tp50 ms\tp95\tp99\tmax\tlongest gap s\t")
	row := func(name string, y load.Tally, refused, broken int64) {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%.1f\t%.1f\t%.1f\t%.1f\t%.3f\t\n", name,
			y.Acknowledged, y.Transient, y.Permanent, y.Unknown, refused, broken,
			y.Latency.P50, y.Latency.P95, y.Latency.P99, y.Latency.Max, y.LongestGap.Seconds)
	}
	var refused, broken int64
	for _, x := range r.Targets {
		row(x.Address, x.Tally, x.Refused, x.Broken)
		refused += x.Refused
		broken += x.Broken
	}
	row("all", r.Tally, refused, broken)
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "run %s: %.1f messages/s over %.1f s, %d unsent\n",
		r.Run, r.Rate, r.Ended.Sub(r.Started).Seconds(), r.Unsent)
	return err
}

// lines is a file of JSON lines; without create it swallows them.
type lines struct {
	f   *os.File
	b   *bufio.Writer
	e   *json.Encoder
	err error // the first
}

func (l *lines) create(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("opening the records' file: %w", err)
	}
	l.f, l.b = f, bufio.NewWriterSize(f, 256<<10)
	l.e = json.NewEncoder(l.b)
	return nil
}

func (l *lines) add(v any) {
	if l.e != nil && l.err == nil {
		l.err = l.e.Encode(v)
	}
}

func (l *lines) close() error {
	if l.f == nil {
		return nil
	}
	if err := errors.Join(l.err, l.b.Flush(), l.f.Close()); err != nil {
		return fmt.Errorf("writing the records: %w", err)
	}
	return nil
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
