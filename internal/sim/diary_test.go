package sim_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"quorumta/internal/mail"
)

// diary keeps what was logged and done, which messages were called unsettled,
// and what is wrong with the run. It is safe for concurrent use.
type diary struct {
	mu         sync.Mutex
	began      time.Time
	text       bytes.Buffer
	copy       *os.File // nil: none
	buffered   *bufio.Writer
	unsettled  map[mail.MessageID]bool
	complaints []string
	heard      func(on, shard, message string) // nil: nobody listens
}

const (
	// mostText is how much of the text is kept, bytes.
	mostText = 16 << 20
	// mostLines is how many lines of it are shown for a run that failed.
	mostLines = 150
	// mostLine is how much of a line is shown, bytes.
	mostLine = 400
	// mostComplaints is how many complaints are shown.
	mostComplaints = 20
)

// newDiary begins the diary of a run, and a whole copy of it in a file where
// one is asked for.
func newDiary(t *testing.T) *diary {
	d := &diary{unsettled: map[mail.MessageID]bool{}}
	if *logTo == "" {
		return d
	}
	name := strings.NewReplacer("/", "-", " ", "-").Replace(t.Name()) + ".log"
	f, err := os.Create(filepath.Join(*logTo, name))
	if err != nil {
		t.Fatal(err)
	}
	d.copy, d.buffered = f, bufio.NewWriter(f)
	t.Cleanup(func() {
		_ = d.buffered.Flush()
		_ = f.Close()
	})
	return d
}

// begin sets the clock, which is virtual in a bubble, to zero.
func (d *diary) begin() { d.began = time.Now() }

// note writes a line.
func (d *diary) note(format string, args ...any) {
	_, _ = d.Write(fmt.Appendf(nil, "%s --- "+format+"\n", append([]any{d.clock(time.Now())}, args...)...))
}

// clock is a time as the diary's lines tell it: seconds since its beginning.
func (d *diary) clock(at time.Time) string { return fmt.Sprintf("%8.3f", at.Sub(d.began).Seconds()) }

// complain notes that something is wrong.
func (d *diary) complain(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	d.note("WRONG: %s", text)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.complaints = append(d.complaints, text)
}

// complainOf notes all of them.
func (d *diary) complainOf(faults []string) {
	for _, f := range faults {
		d.complain("%s", f)
	}
}

// failed reports whether there was a complaint.
func (d *diary) failed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.complaints) > 0
}

// report fails the test if there were complaints: what was logged about them
// first, they themselves last, where they are read.
func (d *diary) report(t *testing.T) {
	if !d.failed() {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	where := "-simlog DIR keeps all of it"
	if d.copy != nil {
		where = "all of it is in " + d.copy.Name()
	}
	t.Logf("of the log (%s):\n%s", where, excerpt(d.text.String(), d.complaints))
	for i, c := range d.complaints {
		if i == mostComplaints {
			t.Errorf("and %d more", len(d.complaints)-i)
			break
		}
		t.Error(c)
	}
}

var (
	messageIDs = regexp.MustCompile(`\b[0-9a-z]{20}\b`)
	shards     = regexp.MustCompile(`\bshard (\d+)`)
	times      = regexp.MustCompile(`\bat +(\d+\.\d{3})\b`)
	lineTime   = regexp.MustCompile(`^(?:t=")? *(\d+\.\d{3})`)
	// others are lines that speak of one message alone, or of what is down.
	others = regexp.MustCompile(`msg=(accepted|delivered|deferred|failed) |failed to (heartbeat|contact|append)`)
)

// around is how long before and after the times that complaints name all lines
// are shown, seconds.
const around = 1.5

// excerpt is what a log says of the messages, shards and times that the
// complaints name, and of what was done to the cluster: the last of it, if it
// is too much.
func excerpt(text string, complaints []string) string {
	all := strings.Join(complaints, "\n")
	words := messageIDs.FindAllString(all, -1)
	for _, m := range shards.FindAllStringSubmatch(all, -1) {
		words = append(words, "shard="+m[1]+" ")
	}
	var near []float64
	for _, m := range times.FindAllStringSubmatch(all, -1) {
		at, _ := strconv.ParseFloat(m[1], 64)
		near = append(near, at)
	}
	var lines []string
	for line := range strings.Lines(text) {
		if concerns(line, words, near) {
			if len(line) > mostLine {
				line = line[:mostLine] + "…\n"
			}
			lines = append(lines, line)
		}
	}
	if left := len(lines) - mostLines; left > 0 {
		lines = append([]string{fmt.Sprintf("(%d lines before)\n", left)}, lines[left:]...)
	}
	return strings.Join(lines, "")
}

func concerns(line string, words []string, near []float64) bool {
	if strings.Contains(line, " --- ") {
		return true
	}
	for _, w := range words {
		if strings.Contains(line, w) {
			return true
		}
	}
	m := lineTime.FindStringSubmatch(line)
	if m == nil || others.MatchString(line) {
		return false
	}
	at, _ := strconv.ParseFloat(m[1], 64)
	for _, n := range near {
		if at > n-around && at < n+around {
			return true
		}
	}
	return false
}

// listen has f hear what nodes log from now on, at once: the node goes on when
// f returns. f does not write to the diary.
func (d *diary) listen(f func(on, shard, message string)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.heard = f
}

func (d *diary) listener() func(on, shard, message string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.heard
}

// Write implements io.Writer.
func (d *diary) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.copy != nil {
		_, _ = d.buffered.Write(p)
	}
	if d.text.Len()+len(p) > mostText {
		d.text.Next(mostText / 2)
	}
	return d.text.Write(p)
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
				return slog.String("t", d.clock(time.Now()))
			}
			return a
		},
	})
	return listener{Handler: text.WithAttrs([]slog.Attr{slog.String("on", name)}), diary: d, on: name}
}

// differing is how a node says that replicas are not equal. It makes the wrong
// one anew then, so that nothing is to be seen of it in the end.
const differing = "the replicas of a shard differ"

// listener notes which messages are called unsettled and whether replicas
// differ, and tells who listens.
type listener struct {
	slog.Handler
	diary     *diary
	on, shard string
}

// Enabled implements slog.Handler: what nobody listens to need not be written.
func (l listener) Enabled(ctx context.Context, level slog.Level) bool {
	return l.Handler.Enabled(ctx, level) || (level >= slog.LevelDebug && l.diary.listener() != nil)
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
	err := l.Handler.Handle(ctx, r)
	if strings.HasPrefix(r.Message, differing) {
		l.diary.complain("%s says: %s", l.on, r.Message)
	}
	if heard := l.diary.listener(); heard != nil {
		heard(l.on, l.shard, r.Message)
	}
	return err
}

// WithAttrs implements slog.Handler.
func (l listener) WithAttrs(attrs []slog.Attr) slog.Handler {
	shard := l.shard
	for _, a := range attrs {
		if a.Key == "shard" {
			shard = a.Value.String()
		}
	}
	return listener{l.Handler.WithAttrs(attrs), l.diary, l.on, shard}
}

// WithGroup implements slog.Handler.
func (l listener) WithGroup(name string) slog.Handler {
	return listener{l.Handler.WithGroup(name), l.diary, l.on, l.shard}
}
