package lookup

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"golang.org/x/sync/singleflight"
)

// Source is a directory; called from many goroutines.
type Source interface {
	// Lookup finds what is said of a key; none: nothing is. An error that the
	// directory itself has answered is Refused.
	Lookup(ctx context.Context, key string) ([]string, error)
	Close() error
}

// errRefused marks what a directory answered.
var errRefused = errors.New("refused")

// Refused marks an error as the answer of a directory that works: the others'
// questions are asked all the same.
func Refused(err error) error { return fmt.Errorf("%w: %w", errRefused, err) }

// Options are the settings of a Table; each zero means the default.
type Options struct {
	Name   string
	Source Source
	// Timeout is for one question; 5 s.
	Timeout time.Duration
	// Keep is how long an answer is kept, KeepMissing that nothing is said of a
	// key; a minute, and 10 s. Negative: not at all.
	Keep, KeepMissing time.Duration
	// Now is the wall clock; time.Now.
	Now func() time.Time
	// Questions counts the questions, by lookup and result; nil: nobody does.
	Questions metric.Int64Counter
}

const (
	// mostKept is how many answers are kept.
	mostKept = 20_000
	// mostFailures in a row have a directory left alone, for firstRest at first,
	// then twice as long each time, up to lastRest.
	mostFailures = 5
	firstRest    = time.Second
	lastRest     = 30 * time.Second
	// longestKey is the longest key that is asked about, in bytes.
	longestKey = 1024
)

// Table is a question to a directory; safe for concurrent use.
type Table struct {
	o      Options
	flight singleflight.Group

	mu   sync.Mutex
	kept map[string]answer
	// failures in a row, after which nobody asks before until; why is the last.
	failures int
	until    time.Time
	why      error
}

type answer struct {
	values []string
	until  time.Time
}

// New makes a table.
func New(o Options) *Table {
	set := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	set(&o.Timeout, 5*time.Second)
	set(&o.Keep, time.Minute)
	set(&o.KeepMissing, 10*time.Second)
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Table{o: o, kept: map[string]answer{}}
}

// Close ends the connections; what is asked at this moment fails.
func (t *Table) Close() error { return t.o.Source.Close() }

// Find asks about keys in turn and returns what is said of the first of which
// something is; none where nothing is said of any. It ends with ctx.
func (t *Table) Find(ctx context.Context, keys ...string) (values []string, key string, err error) {
	asked := map[string]bool{}
	for _, key := range keys {
		if asked[key] {
			continue
		}
		asked[key] = true
		if values, err = t.one(ctx, key); err != nil || len(values) > 0 {
			if err != nil {
				err = fmt.Errorf("lookup %s: %w", t.o.Name, err)
			}
			return values, key, err
		}
	}
	return nil, "", nil
}

// one asks about a key. One that no directory can hold is in none.
func (t *Table) one(ctx context.Context, key string) ([]string, error) {
	if key == "" || len(key) > longestKey || !utf8.ValidString(key) || strings.ContainsRune(key, 0) {
		return nil, nil
	}
	t.mu.Lock()
	a, ok := t.kept[key]
	t.mu.Unlock()
	if ok && t.o.Now().Before(a.until) {
		t.count(ctx, "kept")
		return a.values, nil
	}
	asking := t.flight.DoChan(key, func() (any, error) {
		// Others may wait for it, who have not given up.
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), t.o.Timeout)
		defer cancel()
		return t.ask(bounded, key)
	})
	select {
	case r := <-asking:
		values, _ := r.Val.([]string)
		return values, r.Err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// ask asks the directory, unless it is left alone.
func (t *Table) ask(ctx context.Context, key string) ([]string, error) {
	if err := t.resting(); err != nil {
		t.count(ctx, "resting")
		return nil, err
	}
	values, err := t.o.Source.Lookup(ctx, key)
	switch {
	case err != nil:
		t.count(ctx, "error")
	case len(values) == 0:
		t.count(ctx, "none")
	default:
		t.count(ctx, "found")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		t.failedLocked(err)
		return nil, err
	}
	t.failures, t.until = 0, time.Time{}
	keep := t.o.Keep
	if len(values) == 0 {
		keep = t.o.KeepMissing
	}
	t.keepLocked(key, answer{values, t.o.Now().Add(keep)})
	return values, nil
}

// resting says why the directory is left alone; nil: it is not. One question
// after each rest finds out whether it is back.
func (t *Table) resting() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.o.Now()
	switch {
	case t.failures < mostFailures:
		return nil
	case now.Before(t.until):
		return fmt.Errorf("left alone after %d failures in a row, the last: %w", t.failures, t.why)
	}
	t.until = now.Add(t.o.Timeout) // that one is the question
	return nil
}

func (t *Table) failedLocked(err error) {
	if errors.Is(err, errRefused) {
		return
	}
	t.failures++
	t.why = err
	if t.failures >= mostFailures {
		rest := lastRest
		if n := t.failures - mostFailures; n < 5 {
			rest = min(lastRest, firstRest<<n)
		}
		t.until = t.o.Now().Add(rest)
	}
}

func (t *Table) keepLocked(key string, a answer) {
	now := t.o.Now()
	if !a.until.After(now) {
		return
	}
	if len(t.kept) >= mostKept {
		maps.DeleteFunc(t.kept, func(_ string, a answer) bool { return !a.until.After(now) })
		for old := range t.kept { // any: their order is random
			if len(t.kept) < mostKept {
				break
			}
			delete(t.kept, old)
		}
	}
	t.kept[key] = a
}

func (t *Table) count(ctx context.Context, result string) {
	if t.o.Questions != nil {
		t.o.Questions.Add(ctx, 1, metric.WithAttributes(attribute.String("lookup", t.o.Name), attribute.String("result", result)))
	}
}

// Part is a key, or the part of an address that a question asks for: key, local
// or domain. A key without the part is in no directory: false.
func Part(key, name string) (string, bool) {
	at := strings.LastIndexByte(key, '@')
	switch {
	case name == "key":
		return key, true
	case name == "local" && at < 0:
		return key, true
	case name == "local":
		return key[:at], at > 0
	}
	return key[at+1:], at >= 0
}
