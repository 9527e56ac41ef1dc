package fetch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"quorumta/cluster/store"
	"quorumta/cluster/store/transfer"
)

// sender has a state of some megabytes pinned, and answers for chunks.
type sender struct {
	pins     *transfer.Pins
	manifest *transfer.Manifest
	stream   []byte

	mu     sync.Mutex // guards the rest
	asked  int
	fails  int // the chunk, counted from the first asked, at which it breaks; 0: none
	damage int // likewise, that arrives damaged
}

func newSender(t *testing.T) *sender {
	t.Helper()
	st, err := store.Open(store.Options{
		Dir: "d", FS: vfs.NewMem(), MemoryBytes: 8 << 20, Log: slog.New(slog.DiscardHandler), Fatal: func(err error) { t.Error(err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	state, err := st.State(1, "c")
	if err != nil {
		t.Fatal(err)
	}
	u := state.Update()
	for i := range 40 {
		u.Set(fmt.Appendf(nil, "%03d", i), bytes.Repeat([]byte{byte(i)}, 200<<10))
	}
	u.Commit(9, 2, [32]byte{1})
	view := state.View()
	var stream bytes.Buffer
	if _, err := view.WriteTo(&stream); err != nil {
		t.Fatal(err)
	}
	view.Close()
	s := &sender{pins: transfer.NewPins(), stream: stream.Bytes()}
	s.manifest, err = s.pins.Pin(t.Context(), 1, 9, 0, func() transfer.View { return state.View() })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.pins.Close()
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// another has the same state under another manifest.
func (s *sender) another(t *testing.T) *sender {
	t.Helper()
	m := *s.manifest
	m.ID[0] ^= 1
	return &sender{pins: s.pins, manifest: &m, stream: s.stream}
}

// real is the stock of a node: what it has pinned, and where it fetches to.
type real struct {
	pins *transfer.Pins
	fs   vfs.FS
}

func (real) Pin(context.Context, uint64) ([]byte, int64, error) { return nil, 0, errors.ErrUnsupported }

func (r real) Chunk(id [16]byte, i int) ([]byte, error) { return r.pins.Chunk(1, id, i) }

func (r real) Resume(manifest []byte) (id [16]byte, d Download, err error) {
	m, err := transfer.Decode(manifest)
	if err != nil {
		return id, nil, err
	}
	down, err := transfer.Resume(r.fs, "in", m)
	return m.ID, download{down}, err
}

func (real) Take(raft.SnapshotSink, []byte) error { return errors.ErrUnsupported }

type download struct{ *transfer.Download }

func (d download) Add(chunk []byte) error {
	err := d.Download.Add(chunk)
	if errors.Is(err, transfer.ErrBad) {
		return ErrDamaged
	}
	return err
}

// call is what the receiver asks the sender by.
func (s *sender) call(_ context.Context, request []byte) ([]byte, error) {
	s.mu.Lock()
	s.asked++
	n := s.asked
	s.mu.Unlock()
	if n == s.fails {
		return nil, errors.New("the line is cut")
	}
	chunk, err := New(real{pins: s.pins}).serve(request, nil, nil)
	if n == s.damage {
		chunk[0] ^= 1
	}
	return chunk, err
}

// encoded is the manifest.
func (s *sender) encoded(t *testing.T) []byte {
	t.Helper()
	b, err := s.manifest.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// receive asks a fetcher until it has everything or fails.
func (s *sender) receive(t *testing.T, f *Fetcher) progress {
	t.Helper()
	encoded := s.encoded(t)
	var running sync.WaitGroup
	start := func(run func(context.Context)) bool {
		running.Go(func() { run(t.Context()) })
		return true
	}
	for {
		answer, err := f.serve(append([]byte{askFetch}, encoded...), s.call, start)
		if err != nil {
			t.Fatal(err)
		}
		var at progress
		if err := json.Unmarshal(answer, &at); err != nil {
			t.Fatal(err)
		}
		if at.Done || at.Error != "" {
			return at
		}
		running.Wait()
	}
}

func (s *sender) arrived(t *testing.T, fs vfs.FS) {
	t.Helper()
	file, err := fs.Open("in")
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(file)
	if err := errors.Join(err, file.Close()); err != nil || !bytes.Equal(got, s.stream) {
		t.Errorf("%d bytes of %d, %v", len(got), len(s.stream), err)
	}
}

// A transfer that is cut off goes on where it was, also after a restart of the
// receiver; a damaged chunk is fetched again.
func TestFetchingGoesOn(t *testing.T) {
	s, fs := newSender(t), vfs.NewMem()
	chunks := len(s.manifest.Chunks)
	if chunks < 5 {
		t.Fatalf("%d chunks test little", chunks)
	}
	s.fails, s.damage = 4, 2
	f := New(real{fs: fs})
	if at := s.receive(t, f); at.Done || at.Error == "" || at.Have != 2 {
		t.Fatalf("cut off: %+v", at)
	}
	use := func() error { return nil }
	if f.take(s.encoded(t), use) == nil {
		t.Error("half a snapshot is taken")
	}
	f = New(real{fs: fs}) // the receiver has restarted
	if at := s.receive(t, f); !at.Done || at.Have != chunks {
		t.Fatalf("%+v", at)
	}
	s.arrived(t, fs)
	if s.asked != chunks+2 {
		t.Errorf("%d chunks were asked for, and there are %d", s.asked, chunks)
	}
	if f.take([]byte("QTSM"), use) == nil || f.take(s.encoded(t), use) != nil || f.take(s.encoded(t), use) == nil {
		t.Error("a snapshot is taken once, by its id")
	}
}

// Bad requests are told so.
func TestBadRequests(t *testing.T) {
	s := newSender(t)
	for _, request := range [][]byte{nil, {'X'}, {askFetch}, {askFetch, 1, 2}, {askChunk}, append([]byte{askChunk}, make([]byte, 20)...)} {
		if answer, err := New(real{s.pins, vfs.NewMem()}).serve(request, nil, nil); err == nil {
			t.Errorf("%q is answered: %q", request, answer)
		}
	}
}

// One snapshot is fetched at a time: a second waits until nobody asks for the
// first any more, and while the first is being made a snapshot.
func TestSecondTransferWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSender(t)
		f := New(real{fs: vfs.NewMem()})
		var running sync.WaitGroup
		start := func(run func(context.Context)) bool {
			running.Go(func() { run(context.Background()) })
			return true
		}
		began := make(chan struct{})
		stuck := func(ctx context.Context, _ []byte) ([]byte, error) {
			began <- struct{}{}
			<-ctx.Done()
			return nil, ctx.Err()
		}
		first, second := s.another(t).encoded(t), s.encoded(t)
		f.fetch(first, stuck, start)
		<-began
		for range 10 {
			f.fetch(second, s.call, start)
			time.Sleep(sendPoll)
			f.fetch(first, stuck, start)
		}
		if f.what != sha256.Sum256(first) || !f.running {
			t.Error("the first was ended though it is asked for")
		}
		time.Sleep(askedLife)
		f.fetch(second, s.call, start)
		running.Wait()
		f.fetch(second, s.call, start)
		running.Wait()
		if at := f.fetch(second, s.call, start); !at.Done {
			t.Fatalf("the second was not fetched when nobody asked for the first: %+v", at)
		}
		err := f.take(second, func() error {
			time.Sleep(2 * askedLife)
			if f.fetch(first, s.call, start); f.running {
				t.Error("the first is fetched over the second, which is being taken")
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}
