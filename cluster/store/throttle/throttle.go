// Package throttle slows down what copies in bulk, so that it does not take the
// disk or the line from the mail.
package throttle

import (
	"context"
	"io"
	"time"
)

const (
	piece = 64 << 10 // written at once
	grace = time.Second
)

// writer is used by one goroutine.
type writer struct {
	ctx  context.Context
	w    io.Writer
	rate int64
	free time.Time // when the next piece may go
}

// NewWriter returns a writer to w that lets rate bytes a second through, without
// a limit where rate is 0, and fails with the context's error once it has ended.
func NewWriter(ctx context.Context, w io.Writer, rate int64) io.Writer {
	return &writer{ctx: ctx, w: w, rate: rate}
}

// Write implements io.Writer.
func (t *writer) Write(b []byte) (n int, err error) {
	for len(b) > 0 {
		part := b[:min(len(b), piece)]
		if err := t.wait(len(part)); err != nil {
			return n, err
		}
		m, err := t.w.Write(part)
		n += m
		if err != nil {
			return n, err
		}
		b = b[m:]
	}
	return n, t.ctx.Err()
}

// wait waits until n bytes may go. Time that passed unused is made up for
// within the grace only.
func (t *writer) wait(n int) error {
	if t.rate <= 0 {
		return t.ctx.Err()
	}
	now := time.Now()
	if now.Sub(t.free) > grace {
		t.free = now
	}
	delay := t.free.Sub(now)
	t.free = t.free.Add(time.Duration(n) * time.Second / time.Duration(t.rate))
	if delay <= 0 {
		return t.ctx.Err()
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-t.ctx.Done():
		return t.ctx.Err()
	}
}
