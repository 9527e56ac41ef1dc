package telemetry

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// said is what the log has written, in how many writes.
type said struct {
	bytes.Buffer
	writes int
}

func (s *said) Write(p []byte) (int, error) {
	s.writes++
	return s.Buffer.Write(p)
}

// messages are the lines' messages, in order.
func (s *said) messages() string {
	var all []string
	for line := range strings.Lines(s.String()) {
		_, rest, _ := strings.Cut(line, "msg=")
		all = append(all, strings.Fields(rest)[0])
	}
	return strings.Join(all, " ")
}

// Lines wait for each other, but not for long; a warning waits for nothing, nor
// does what was said before it.
func TestLinesAreWrittenTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s said
		log, flush, err := newLog(Options{LogFormat: "text", LogTo: &s})
		if err != nil {
			t.Fatal(err)
		}
		expect := func(when, want string, writes int) {
			t.Helper()
			synctest.Wait()
			if got := s.messages(); got != want || s.writes != writes {
				t.Errorf("%s: %q in %d writes, not %q in %d", when, got, s.writes, want, writes)
			}
		}
		for range 2 {
			s = said{}
			log.Info("a")
			log.With("x", 1).Info("b")
			expect("at once", "", 0)
			time.Sleep(lineDelay)
			expect("after the delay", "a b", 1)
		}
		log.Info("c")
		log.With("x", 1).WithGroup("g").Warn("d")
		expect("a warning", "a b c d", 2)
		log.Info("e")
		time.Sleep(lineDelay - 1)
		expect("just before the delay", "a b c d", 2)
		flush()
		expect("flushed", "a b c d e", 3)
		time.Sleep(lineDelay)
		expect("nothing waits", "a b c d e", 3)
	})
}

func TestLinesThatWaitAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s said
		log, _, err := newLog(Options{LogTo: &s})
		if err != nil {
			t.Fatal(err)
		}
		long := strings.Repeat("x", lineRoom/4)
		for range 4 {
			log.LogAttrs(context.Background(), slog.LevelInfo, long)
		}
		if n := strings.Count(s.String(), long); n != 4 || s.writes != 1 {
			t.Errorf("%d lines in %d writes", n, s.writes)
		}
		time.Sleep(lineDelay)
	})
}
