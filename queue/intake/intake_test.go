package intake

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	metricnoop "go.opentelemetry.io/otel/metric/noop"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"quorumta/internal/mail"
	"quorumta/queue/event"
	"quorumta/queue/lane"
	"quorumta/queue/state"
)

// shards are shards that do as they are told.
type shards struct {
	mu      sync.Mutex
	verdict func(shard uint16, ev event.Event) lane.Verdict
	placed  error
	events  []event.Event
	running sync.WaitGroup
	told    []*event.Accepted // as unsettled
}

func applied(uint16, event.Event) lane.Verdict { return lane.Verdict{Result: state.Applied} }

func (s *shards) options(t *testing.T) Options {
	var seq atomic.Uint64
	return Options{
		Place: func(avoid map[uint16]bool) (uint16, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			for _, shard := range []uint16{1, 2} {
				if !avoid[shard] {
					return shard, s.placed
				}
			}
			return 1, s.placed
		},
		Propose: func(_ context.Context, shard uint16, g event.Group) lane.Verdict {
			s.mu.Lock()
			s.events = append(s.events, g.Events[0])
			verdict := s.verdict
			s.mu.Unlock()
			return verdict(shard, g.Events[0])
		},
		Draw: func(shard uint16) mail.MessageID {
			return mail.NewMessageID(time.Now(), shard, [5]byte{byte(seq.Add(1))})
		},
		Submitter:     func() event.Submitter { return event.Submitter{Seq: seq.Add(1)} },
		Spawn:         func(f func()) bool { s.running.Go(f); return true },
		Unsettled:     func(a *event.Accepted) { s.told = append(s.told, a) },
		SubmitWait:    30 * time.Second,
		UploadTimeout: time.Hour,
		SpoolDir:      t.TempDir(),
		Log:           slog.New(slog.DiscardHandler),
		Tracer:        tracenoop.NewTracerProvider().Tracer(""),
		Meter:         metricnoop.NewMeterProvider().Meter(""),
	}
}

func (s *shards) count(kind event.Kind) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, ev := range s.events {
		if ev.Kind() == kind {
			n++
		}
	}
	return n
}

func begin(t *testing.T, o Options) *Upload {
	t.Helper()
	u, err := New(o).Begin(t.Context(), func(id mail.MessageID) []byte { return []byte(id) })
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func write(t *testing.T, u *Upload, n int) {
	t.Helper()
	if _, err := u.Write(bytes.Repeat([]byte("x"), n)); err != nil {
		t.Fatal(err)
	}
}

// PROTOCOL 11: the owning session renews.
func TestASlowUploadIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shards{verdict: applied}
		u := begin(t, s.options(t))
		write(t, u, event.MaxPart+1)
		for range 12 {
			time.Sleep(5 * time.Minute)
			write(t, u, 1)
		}
		if _, err := u.Commit(Submission{}); err != nil {
			t.Fatal(err)
		}
		if n := s.count(event.KindRenewed); n != 3 {
			t.Errorf("renewed %d times in an hour, want 3", n)
		}
	})
}

// Up to MaxPart a message is one entry; beyond, its last part holds the rest.
func TestPartsBeginBeyondTheLargestEntry(t *testing.T) {
	for size, parts := range map[int]int{event.MaxPart - 20: 0, event.MaxPart - 19: 2, 3*event.MaxPart - 20: 3} {
		s := &shards{verdict: applied}
		u := begin(t, s.options(t))
		write(t, u, size)
		if _, err := u.Commit(Submission{}); err != nil {
			t.Fatal(err)
		}
		if n := s.count(event.KindBodyPart); n != parts {
			t.Errorf("%d bytes: %d parts, want %d", size, n, parts)
		}
		a := s.events[len(s.events)-1].(*event.Accepted)
		if a.Size != int64(size+20) || int(a.Parts) != parts || (parts == 0) != (len(a.Content) > 0) {
			t.Errorf("%d bytes: accepted %d in %d parts", size, a.Size, a.Parts)
		}
	}
}

// Memory of a session is bounded: Write waits when the shard does.
func TestWriteWaitsForTheShard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		s := &shards{verdict: func(uint16, event.Event) lane.Verdict {
			<-gate
			return lane.Verdict{Result: state.Applied}
		}}
		u := begin(t, s.options(t))
		written := make(chan struct{})
		go func() {
			defer close(written)
			write(t, u, 10*event.MaxPart)
		}()
		synctest.Wait()
		if n := s.count(event.KindBodyPart); n != window {
			t.Errorf("%d parts under way, want %d", n, window)
		}
		close(gate)
		<-written
		if _, err := u.Commit(Submission{}); err != nil {
			t.Error(err)
		}
	})
}

// Many large messages at once wait for each other: none has to begin again
// because the shard has too much before it.
func TestManyUploadsWaitForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var flying, most atomic.Int64
		s := &shards{verdict: func(_ uint16, ev event.Event) lane.Verdict {
			if part, ok := ev.(*event.BodyPart); ok {
				n := flying.Add(int64(len(part.Content)))
				most.Store(max(most.Load(), n))
				time.Sleep(time.Millisecond)
				flying.Add(-int64(len(part.Content)))
			}
			return lane.Verdict{Result: state.Applied}
		}}
		n := New(s.options(t))
		var sessions sync.WaitGroup
		for range 50 {
			sessions.Go(func() {
				u, err := n.Begin(t.Context(), func(id mail.MessageID) []byte { return []byte(id) })
				if err != nil {
					t.Error(err)
					return
				}
				write(t, u, 4*event.MaxPart)
				if _, err := u.Commit(Submission{}); err != nil {
					t.Error(err)
				}
			})
		}
		sessions.Wait()
		if n := most.Load(); n > mostFlying || n < mostFlying/2 {
			t.Errorf("%d bytes under way at once", n)
		}
	})
}

// refusing makes shard 1 refuse events of a kind.
func refusing(kind event.Kind, v lane.Verdict) func(uint16, event.Event) lane.Verdict {
	return func(shard uint16, ev event.Event) lane.Verdict {
		if shard == 1 && ev.Kind() == kind {
			return v
		}
		return lane.Verdict{Result: state.Applied}
	}
}

func TestWhatTheFirstShardSaysAndWhereTheMessageEnds(t *testing.T) {
	unknown := errors.New("who knows")
	for _, c := range []struct {
		name    string
		verdict func(uint16, event.Event) lane.Verdict
		shard   uint16
		err     error
	}{
		{"a part was not proposed", refusing(event.KindBodyPart, lane.Verdict{Err: lane.ErrNoOffice}), 2, nil},
		{"a part is unknown", refusing(event.KindBodyPart, lane.Verdict{Err: unknown}), 2, nil},
		{"a part meets another upload", refusing(event.KindBodyPart, lane.Verdict{Result: state.Conflict}), 2, nil},
		{"not proposed", refusing(event.KindAccepted, lane.Verdict{Err: lane.ErrBusy}), 2, nil},
		{"the parts were swept", refusing(event.KindAccepted, lane.Verdict{Result: state.Missing}), 2, nil},
		{"the id is taken", refusing(event.KindAccepted, lane.Verdict{Result: state.Conflict}), 2, nil},
		{"a defect", refusing(event.KindAccepted, lane.Verdict{Result: state.Malformed}), 0, ErrUnavailable},
		{"abandoned", refusing(event.KindAccepted, lane.Verdict{Result: state.Abandoned}), 0, ErrUnsettled},
		{"unknown for ever", refusing(event.KindAccepted, lane.Verdict{Err: unknown}), 0, ErrUnsettled},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &shards{verdict: c.verdict}
				u := begin(t, s.options(t))
				write(t, u, 2*event.MaxPart)
				began := time.Now()
				id, err := u.Commit(Submission{})
				if !errors.Is(err, c.err) || id.Shard() != c.shard {
					t.Errorf("%q on shard %d, %v", id, id.Shard(), err)
				}
				if took := time.Since(began); took > 35*time.Second {
					t.Errorf("it took %v", took)
				}
				s.running.Wait()
			})
		})
	}
}

// An Accepted that was unknown and then misses its parts is abandoned before
// the client hears anything.
func TestMissingPartsAfterAnUnknownOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		s := &shards{verdict: func(_ uint16, ev event.Event) lane.Verdict {
			if ev.Kind() != event.KindAccepted {
				return lane.Verdict{Result: state.Applied}
			}
			if tries++; tries == 1 {
				return lane.Verdict{Err: errors.New("who knows")}
			}
			return lane.Verdict{Result: state.Missing}
		}}
		u := begin(t, s.options(t))
		write(t, u, 2*event.MaxPart)
		if _, err := u.Commit(Submission{}); !errors.Is(err, ErrUnsettled) || s.count(event.KindAbandoned) == 0 {
			t.Errorf("err = %v", err)
		}
		s.running.Wait()
	})
}

// An upload that gives up finds no shard within two seconds.
func TestNoOtherShard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shards{verdict: refusing(event.KindBodyPart, lane.Verdict{Err: lane.ErrNoOffice})}
		u := begin(t, s.options(t))
		s.mu.Lock()
		s.placed = ErrDiskFull
		s.mu.Unlock()
		began := time.Now()
		_, err := u.Write(make([]byte, 8*event.MaxPart))
		if !errors.Is(err, ErrDiskFull) || time.Since(began) > 2*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		if _, again := u.Write(nil); !errors.Is(again, ErrDiskFull) {
			t.Errorf("the next write: %v", again)
		}
		if _, err := u.Commit(Submission{}); !errors.Is(err, ErrDiskFull) {
			t.Errorf("commit: %v", err)
		}
		s.running.Wait()
	})
}

// Without a spool a large message cannot turn to another shard, but is taken
// as long as its own holds.
func TestWithoutASpool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, fails := range []bool{false, true} {
			s := &shards{verdict: applied}
			if fails {
				s.verdict = refusing(event.KindBodyPart, lane.Verdict{Err: lane.ErrNoOffice})
			}
			o := s.options(t)
			o.SpoolDir = filepath.Join(o.SpoolDir, "none")
			u := begin(t, o)
			_, err := u.Write(make([]byte, 2*event.MaxPart))
			if err == nil {
				_, err = u.Commit(Submission{})
			}
			u.Abort()
			if fails != errors.Is(err, ErrUnavailable) {
				t.Errorf("own shard fails: %v: %v", fails, err)
			}
			s.running.Wait()
		}
	})
}

func TestAnAbortedUploadIsAbandoned(t *testing.T) {
	s := &shards{verdict: applied}
	u := begin(t, s.options(t))
	write(t, u, 2*event.MaxPart)
	u.Abort()
	u.Abort()
	s.running.Wait()
	if n := s.count(event.KindAbandoned); n != 1 {
		t.Errorf("abandoned %d times", n)
	}
	small := begin(t, s.options(t))
	write(t, small, 10)
	small.Abort()
	s.running.Wait()
	if n := s.count(event.KindAbandoned); n != 1 {
		t.Error("a message of which nothing was proposed is abandoned")
	}
}

// Shards that refuse at once are not asked without a pause until time is up.
func TestRefusingShardsAreNotStormed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		s := &shards{verdict: func(uint16, event.Event) lane.Verdict {
			if asked++; asked > 1000 {
				return lane.Verdict{Result: state.Applied} // or time would never pass
			}
			return lane.Verdict{Err: lane.ErrNoOffice}
		}}
		u := begin(t, s.options(t))
		write(t, u, 10)
		if _, err := u.Commit(Submission{}); !errors.Is(err, ErrUnavailable) || asked > 100 {
			t.Errorf("%v after %d proposals", err, asked)
		}
	})
}
