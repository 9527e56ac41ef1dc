// Package hlog gives the log of hashicorp's libraries to slog.
package hlog

import (
	"context"
	"log/slog"

	"github.com/hashicorp/go-hclog"
)

// logger gives Raft's log to slog, a level lower: a failed heartbeat is an
// error to Raft, and every day to an operator.
type logger struct {
	hclog.Logger // the methods that Raft does not use
	to           *slog.Logger
}

// New is a logger to slog.
func New(to *slog.Logger) hclog.Logger {
	return &logger{hclog.NewNullLogger(), to}
}

// Log implements hclog.Logger.
func (l *logger) Log(level hclog.Level, msg string, args ...any) {
	to := slog.LevelDebug
	switch level {
	case hclog.Error:
		to = slog.LevelWarn
	case hclog.Warn:
		to = slog.LevelInfo
	case hclog.Trace, hclog.Debug:
		to = slog.LevelDebug - 4
	}
	if !l.to.Enabled(context.Background(), to) {
		return
	}
	for i, a := range args {
		if f, ok := a.(hclog.Format); ok && len(f) > 0 {
			args[i] = f[1:]
		}
	}
	l.to.Log(context.Background(), to, "raft: "+msg, args...)
}

// Trace implements hclog.Logger.
func (l *logger) Trace(msg string, args ...any) { l.Log(hclog.Trace, msg, args...) }

// Debug implements hclog.Logger.
func (l *logger) Debug(msg string, args ...any) { l.Log(hclog.Debug, msg, args...) }

// Info implements hclog.Logger.
func (l *logger) Info(msg string, args ...any) { l.Log(hclog.Info, msg, args...) }

// Warn implements hclog.Logger.
func (l *logger) Warn(msg string, args ...any) { l.Log(hclog.Warn, msg, args...) }

// Error implements hclog.Logger.
func (l *logger) Error(msg string, args ...any) { l.Log(hclog.Error, msg, args...) }

// With implements hclog.Logger.
func (l *logger) With(args ...any) hclog.Logger { return &logger{l.Logger, l.to.With(args...)} }

// Named implements hclog.Logger.
func (l *logger) Named(string) hclog.Logger { return l }
