package office

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	metricnoop "go.opentelemetry.io/otel/metric/noop"

	"quorumta/internal/mail"
	"quorumta/queue/attempt"
	"quorumta/queue/event"
	"quorumta/queue/state"
	"quorumta/queue/state/memory"
)

// shard is shard 1 in memory, which n1 leads; n2 and n3 have replicas of their
// own.
type shard struct {
	t       *testing.T
	mu      sync.Mutex
	rows    memory.Rows // of n1
	kinds   []event.Kind
	others  map[string]*memory.Rows
	running sync.WaitGroup
	trusted bool
	fail    error  // of proposals
	term    uint64 // that entries are committed in
	office  *Office
}

func newShard(t *testing.T) *shard {
	s := &shard{t: t, others: map[string]*memory.Rows{}, trusted: true, term: 1}
	count, _ := metricnoop.Meter{}.Int64Counter("")
	s.office = New(&Options{
		Self:    event.Process{Node: "n1", Boot: 1},
		Propose: s.propose, Call: s.call, View: s.view,
		Others:     func() []string { return []string{"n2", "n3"} },
		Term:       func(uint16) (uint64, bool) { return 1, true },
		Spawn:      func(f func()) bool { s.running.Go(f); return true },
		Unsettled:  func(mail.MessageID) bool { return false },
		Level:      func() int { return event.Newest },
		Attempts:   attempt.NewTable(),
		Buffers:    &sync.Pool{New: func() any { return new([]byte) }},
		Trusted:    func() bool { return s.trusted },
		Now:        func() time.Time { return time.Now().UTC().Truncate(time.Millisecond) },
		SubmitWait: time.Second, History: time.Hour, UploadTimeout: time.Hour,
		Counters: Counters{Claims: count, Doubted: count, Damaged: count},
		Log:      slog.New(slog.DiscardHandler),
	}, 1, 1)
	t.Cleanup(func() {
		s.office.End()
		s.running.Wait()
	})
	return s
}

func (s *shard) propose(_ context.Context, _ uint16, _ uint64, b []byte) ([]state.Result, error) {
	e, err := event.Decode(bytes.Clone(b))
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return nil, s.fail
	}
	for _, g := range e.Groups {
		for _, ev := range g.Events {
			s.kinds = append(s.kinds, ev.Kind())
		}
	}
	return state.Fold(&s.rows, &s.rows, 1, s.term, e), nil
}

func (s *shard) view(uint16) View {
	s.mu.Lock()
	return locked{s}
}

// locked is a view of a shard, which stands still meanwhile.
type locked struct{ s *shard }

func (v locked) Get(key []byte) ([]byte, bool) { return v.s.rows.Get(key) }

func (v locked) Scan(lo, hi []byte, f func(key, value []byte) bool) { v.s.rows.Scan(lo, hi, f) }

func (v locked) Close() { v.s.mu.Unlock() }

// call is answered by the replicas that there are.
func (s *shard) call(_ context.Context, node, method string, request []byte) ([]byte, error) {
	s.mu.Lock()
	r := s.others[node]
	s.mu.Unlock()
	if r == nil || method != CallContent {
		return nil, errors.New("unreachable")
	}
	return ServeContent(func(_ uint16, f func(state.Reader)) error { f(r); return nil }, request)
}

// accept takes a message with these parts; one part is one piece.
func (s *shard) accept(parts ...string) mail.MessageID {
	s.t.Helper()
	id := mail.NewMessageID(time.Now(), 1, [5]byte{byte(len(parts))})
	whole := strings.Join(parts, "")
	a := &event.Accepted{
		ID: id, Envelope: mail.Envelope{Recipients: []mail.Recipient{{}}},
		Size: int64(len(whole)), Digest: sha256.Sum256([]byte(whole)), Content: []byte(whole),
	}
	if len(parts) > 1 {
		a.Content, a.Parts = nil, uint32(len(parts))
		for n, p := range parts {
			s.do(id, &event.BodyPart{N: uint32(n), Content: []byte(p)})
		}
	}
	s.do(id, a)
	for _, node := range []string{"n2", "n3"} {
		s.others[node] = s.rows.Clone()
	}
	return id
}

func (s *shard) do(id mail.MessageID, events ...event.Event) {
	s.t.Helper()
	if v := s.office.Propose(s.t.Context(), []event.Group{{ID: id, Events: events}})[0]; v.Err != nil || !v.Result.OK() {
		s.t.Fatalf("%+v", v)
	}
}

// spoil damages a part in a replica; "" deletes it.
func spoil(r *memory.Rows, id mail.MessageID, n byte, to string) {
	key := append([]byte("c"+id), 0, 0, 0, n)
	if to == "" {
		r.Delete(key)
		return
	}
	r.Set(key, []byte(to))
}

// read reads all content; held reports whether the message is held afterwards.
func (s *shard) read(id mail.MessageID) (text string, held bool, err error) {
	r, _, err := s.office.Content(id)
	if err == nil {
		var b []byte
		b, err = io.ReadAll(r)
		text = string(b)
	}
	s.running.Wait() // for the lanes
	m, ok := s.office.Message(id)
	return text, ok && m.Held, err
}

// PROTOCOL 13: what this node has lost or damaged is read from a replica.
func TestContentIsFetchedFromAReplica(t *testing.T) {
	for name, c := range map[string]struct {
		parts []string
		spoil func(s *shard, id mail.MessageID)
		tries int // until it is read
	}{
		"one piece, damaged":       {[]string{"abc"}, func(s *shard, id mail.MessageID) { spoil(&s.rows, id, 0, "abd") }, 1},
		"one piece, missing":       {[]string{"abc"}, func(s *shard, id mail.MessageID) { spoil(&s.rows, id, 0, "") }, 1},
		"a part is missing":        {[]string{"ab", "cd", "ef"}, func(s *shard, id mail.MessageID) { spoil(&s.rows, id, 1, "") }, 1},
		"the last part is damaged": {[]string{"ab", "cd", "ef"}, func(s *shard, id mail.MessageID) { spoil(&s.rows, id, 2, "eF") }, 1},
		"an early part is damaged": {[]string{"ab", "cd", "ef"}, func(s *shard, id mail.MessageID) { spoil(&s.rows, id, 0, "aB") }, 2},
		"damaged on two of three": {[]string{"ab", "cd", "ef"}, func(s *shard, id mail.MessageID) {
			spoil(&s.rows, id, 2, "e")
			spoil(s.others["n2"], id, 1, "CD")
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShard(t)
			id := s.accept(c.parts...)
			c.spoil(s, id)
			for range c.tries - 1 {
				if _, held, err := s.read(id); !errors.Is(err, ErrElsewhere) || held {
					t.Fatalf("%v, held %v", err, held)
				}
			}
			if text, held, err := s.read(id); err != nil || text != strings.Join(c.parts, "") || held {
				t.Errorf("%q, held %v, %v", text, held, err)
			}
		})
	}
}

// PROTOCOL 13: what no replica has whole is held, and the last part of it is
// never given out.
func TestContentThatNobodyHasWholeIsHeld(t *testing.T) {
	for name, parts := range map[string][]string{"one piece": {"abc"}, "parts": {"ab", "cd"}} {
		for how, damage := range map[string]string{"damaged": "zz", "missing": ""} {
			t.Run(name+" "+how, func(t *testing.T) {
				s := newShard(t)
				id := s.accept(parts...)
				last := byte(len(parts) - 1)
				for _, r := range []*memory.Rows{&s.rows, s.others["n2"], s.others["n3"]} {
					spoil(r, id, last, damage)
				}
				text, held, err := s.read(id)
				if !errors.Is(err, ErrDamaged) || !held || len(text) > 2 {
					t.Errorf("%q, held %v, %v", text, held, err)
				}
			})
		}
	}
}

func TestContentOfAMessageThatHasEnded(t *testing.T) {
	s := newShard(t)
	id := s.accept("ab", "cd")
	r, size, err := s.office.Content(id)
	if err != nil || size != 4 {
		t.Fatal(size, err)
	}
	s.do(id, &event.Removed{By: "op"})
	if _, err := io.ReadAll(r); !errors.Is(err, ErrNotFound) {
		t.Errorf("err = %v", err)
	}
}

// Claims that come to nothing leave nothing behind: the next one succeeds.
func TestAClaimThatIsRefused(t *testing.T) {
	s := newShard(t)
	id := s.accept("abc")
	lost := errors.New("nobody knows")
	for _, c := range []struct {
		set   func()
		wants error
	}{
		{func() { s.fail = lost }, ErrNotInOffice},
		{func() { s.fail, s.term = nil, 2 }, ErrNotInOffice}, // decided in an earlier term
	} {
		s.mu.Lock()
		c.set()
		s.mu.Unlock()
		if _, err := s.office.Claim(t.Context(), id, []uint32{0}); !errors.Is(err, c.wants) {
			t.Errorf("err = %v, want %v", err, c.wants)
		}
	}
	s.mu.Lock()
	s.term = 1
	s.mu.Unlock()
	if rows := s.office.Due(state.DueRow{}, time.Now(), 10); len(rows) != 1 {
		t.Errorf("due: %v", rows)
	}
	for _, list := range [][]uint32{nil, {7}} {
		if _, err := s.office.Claim(t.Context(), id, list); !errors.Is(err, ErrStale) {
			t.Errorf("%v: %v", list, err)
		}
	}
	c, err := s.office.Claim(t.Context(), id, []uint32{0})
	if err != nil || c.Number != 1 {
		t.Errorf("%+v, %v", c, err)
	}
	if err := s.office.MaySend(c); err != nil {
		t.Error(err)
	}
	s.office.End()
	if _, err := s.office.Claim(t.Context(), id, []uint32{0}); !errors.Is(err, ErrNotInOffice) {
		t.Errorf("after the end: %v", err)
	}
}

// A shard's time never goes back, and a clock that cannot be trusted does not
// move it on.
func TestTheTimeOfAShard(t *testing.T) {
	s := newShard(t)
	first := s.office.Now()
	s.trusted = false
	time.Sleep(2 * time.Millisecond) // for the clock to go on
	if now := s.office.Now(); !now.Equal(first) {
		t.Errorf("moved on by %v", now.Sub(first))
	}
	s.trusted = true
	if now := s.office.Now(); !now.After(first) {
		t.Error("stands still")
	}
}
