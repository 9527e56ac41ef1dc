package sim_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"quorumta/internal/mail"
)

// diary keeps what was logged and done, and which messages were called
// unsettled. It is safe for concurrent use.
type diary struct {
	mu        sync.Mutex
	began     time.Time
	text      bytes.Buffer
	copy      io.Writer // nil: none
	unsettled map[mail.MessageID]bool
}

// mostText is how much of the text is kept, bytes.
const mostText = 256 << 10

func newDiary(copy io.Writer) *diary {
	return &diary{began: time.Now(), copy: copy, unsettled: map[mail.MessageID]bool{}}
}

// note writes a line.
func (d *diary) note(format string, args ...any) {
	_, _ = d.Write(fmt.Appendf(nil, "%s --- "+format+"\n", append([]any{d.clock()}, args...)...))
}

func (d *diary) clock() string { return fmt.Sprintf("%8.3f", time.Since(d.began).Seconds()) }

// Write implements io.Writer.
func (d *diary) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.copy != nil {
		_, _ = d.copy.Write(p)
	}
	if d.text.Len()+len(p) > mostText {
		d.text.Next(mostText / 2)
	}
	return d.text.Write(p)
}

// String is the last of what was written.
func (d *diary) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.text.String()
}

func (d *diary) isUnsettled(id mail.MessageID) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.unsettled[id]
}

// on is the log of a node.
func (d *diary) on(name string) slog.Handler {
	text := slog.NewTextHandler(d, &slog.HandlerOptions{
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.String("t", d.clock())
			}
			return a
		},
	})
	return listener{text.WithAttrs([]slog.Attr{slog.String("on", name)}), d}
}

// listener notes which messages are called unsettled.
type listener struct {
	slog.Handler
	diary *diary
}

// Handle implements slog.Handler.
func (l listener) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == "unsettled" {
		r.Attrs(func(a slog.Attr) bool {
			if a.Key == "id" {
				l.diary.mu.Lock()
				l.diary.unsettled[mail.MessageID(a.Value.String())] = true
				l.diary.mu.Unlock()
			}
			return true
		})
	}
	return l.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (l listener) WithAttrs(attrs []slog.Attr) slog.Handler {
	return listener{l.Handler.WithAttrs(attrs), l.diary}
}

// WithGroup implements slog.Handler.
func (l listener) WithGroup(name string) slog.Handler {
	return listener{l.Handler.WithGroup(name), l.diary}
}
