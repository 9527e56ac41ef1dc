package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"quorumta/bench/sink"
)

// sinkFlags are sink.Options on the command line.
type sinkFlags struct {
	Listen  string        `help:"SMTP address, host:port." default:"127.0.0.1:2525"`
	Control string        `help:"Control port, host:port: GET /stats, GET /ids, GET and POST /mode."`
	Action  string        `help:"accept, defer, reject, close, silent or refuse." default:"accept"`
	Percent int           `help:"Strike so many percent only; 0: all." default:"0"`
	Stage   string        `help:"Where defer and reject strike: rcpt or dot." default:"dot"`
	Counted bool          `help:"Count what close cuts off, as if it had been taken."`
	Delay   time.Duration `help:"Before the reply to the final dot." default:"0s"`
	Drop    int64         `help:"Lose one message in so many, to see the verdict fail." default:"0"`
	Limit   int           `help:"How many pairs of message and recipient to remember; 0: 4,000,000." default:"0"`
}

func (f sinkFlags) options() sink.Options {
	return sink.Options{Listen: f.Listen, Limit: f.Limit, Mode: sink.Mode{
		Action: sink.Action(f.Action), Percent: f.Percent, Stage: f.Stage, Count: f.Counted,
		Delay: sink.Duration(f.Delay), DropEvery: f.Drop,
	}}
}

// sinkCmd is bench sink.
type sinkCmd struct {
	sinkFlags
	Out string `help:"Write what was seen here at the end, as JSON lines." type:"path"`
}

// Run takes mail until it is interrupted.
func (c *sinkCmd) Run(ctx context.Context) error {
	s, stop, err := c.start(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "sink: listening on", s.Address())
	<-ctx.Done()
	err = stop()
	if c.Out != "" {
		err = errors.Join(err, writeSink(c.Out, s))
	}
	return errors.Join(err, printJSON(os.Stdout, s.Stats()))
}

// start runs the sink and its control port until stop is called, which waits
// for both.
func (f sinkFlags) start(ctx context.Context) (s *sink.Sink, stop func() error, err error) {
	s, err = sink.Listen(f.options())
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	control := &http.Server{Handler: s.Control(), ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	stop = func() error {
		cancel()
		return errors.Join(control.Close(), <-served, <-ran)
	}
	if f.Control == "" {
		served <- nil
		return s, stop, nil
	}
	l, err := net.Listen("tcp", f.Control)
	if err != nil {
		served <- nil
		return nil, nil, errors.Join(fmt.Errorf("opening the control port: %w", err), stop())
	}
	go func() {
		if err := control.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			served <- err
			return
		}
		served <- nil
	}()
	return s, stop, nil
}

func writeSink(path string, s *sink.Sink) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("opening the result's file: %w", err)
	}
	_, err = s.WriteTo(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("writing what was seen: %w", err)
	}
	return nil
}
