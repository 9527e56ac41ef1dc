package transfer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"

	"quorumta/cluster/store"
	"quorumta/cluster/store/transfer"
)

func open(t testing.TB, fs vfs.FS) *store.Store {
	t.Helper()
	s, err := store.Open(store.Options{
		Dir: "data", FS: fs, MemoryBytes: 8 << 20, Log: slog.New(slog.DiscardHandler),
		Fatal: func(err error) { t.Errorf("fatal: %v", err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func shut(t testing.TB, s *store.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// state is a state of values of the sizes.
func state(t testing.TB, s *store.Store, applied uint64, sizes ...int) *store.State {
	t.Helper()
	st, err := s.State(1, "c1")
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(applied, 1))
	u := st.Update()
	for i, n := range sizes {
		value := make([]byte, n)
		for j := range value {
			value[j] = byte(rng.Uint32())
		}
		u.Set(fmt.Appendf(nil, "%06d", i), value)
	}
	u.Commit(applied, 3, [32]byte{byte(applied)})
	return st
}

// sizes make a stream of several chunks, with values above and below a frame.
func sizes() []int {
	rng := rand.New(rand.NewPCG(7, 7))
	n := []int{0, 1, 300 << 10, 2 << 20}
	for range 400 {
		n = append(n, rng.IntN(30_000))
	}
	return append(n, 1<<20, 700<<10, 5)
}

func pin(t testing.TB, p *transfer.Pins, st *store.State, index uint64) *transfer.Manifest {
	t.Helper()
	m, err := p.Pin(t.Context(), 1, index, 0, func() transfer.View { return st.View() })
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func stream(t testing.TB, st *store.State) []byte {
	t.Helper()
	v := st.View()
	defer v.Close()
	var b bytes.Buffer
	if _, err := v.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestChunksAreTheStream(t *testing.T) {
	s := open(t, vfs.NewMem())
	defer shut(t, s)
	for i, shape := range [][]int{nil, {5}, {1 << 20}, {1 << 20, 1}, {3 << 20, 3 << 20}, sizes()} {
		p := transfer.NewPins()
		st := state(t, s, uint64(i+1), shape...)
		want := stream(t, st)
		m := pin(t, p, st, 1)
		state(t, s, uint64(i+1), make([]int, 500)...) // what comes later does not matter
		var got bytes.Buffer
		for _, at := range rand.Perm(len(m.Chunks)) {
			b, err := p.Chunk(1, m.ID, at)
			if err != nil || int64(len(b)) != m.Chunks[at].Size {
				t.Fatalf("chunk %d of %d: %d bytes, %v", at, len(m.Chunks), len(b), err)
			}
		}
		for at := range m.Chunks {
			b, err := p.Chunk(1, m.ID, at)
			if err != nil {
				t.Fatal(err)
			}
			got.Write(b)
		}
		if !bytes.Equal(want, got.Bytes()) || m.Size() != int64(len(want)) {
			t.Errorf("shape %d: %d bytes in %d chunks, want %d", i, got.Len(), len(m.Chunks), len(want))
		}
		if i == 5 && len(m.Chunks) < 5 {
			t.Errorf("%d chunks test little", len(m.Chunks))
		}
		if _, err := p.Chunk(1, m.ID, len(m.Chunks)); !errors.Is(err, transfer.ErrBad) {
			t.Errorf("beyond the last: %v", err)
		}
		p.Close()
		if _, err := p.Chunk(1, m.ID, 0); !errors.Is(err, transfer.ErrReleased) {
			t.Errorf("after Close: %v", err)
		}
		u := st.Update()
		u.DeleteRange(nil, nil)
		u.Commit(uint64(i+1), 3, [32]byte{})
	}
}

func TestManifestIsReadAsWritten(t *testing.T) {
	s := open(t, vfs.NewMem())
	defer shut(t, s)
	p := transfer.NewPins()
	defer p.Close()
	m := pin(t, p, state(t, s, 9, sizes()...), 9)
	b, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := transfer.Decode(b)
	if d := cmp.Diff(m, got); err != nil || d != "" {
		t.Error(err, d)
	}
	if !transfer.IsManifest(b) || transfer.IsManifest(stream(t, state(t, s, 9))) {
		t.Error("a manifest is not told from a stream")
	}
	for i := range b {
		bad := bytes.Clone(b)
		bad[i] ^= 0x40
		if _, err := transfer.Decode(bad); !errors.Is(err, transfer.ErrBad) {
			t.Errorf("byte %d changed: %v", i, err)
		}
		if _, err := transfer.Decode(b[:i]); !errors.Is(err, transfer.ErrBad) {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
}

// One view serves all that its label suffices for, and whoever begins again.
func TestPinsAreShared(t *testing.T) {
	s := open(t, vfs.NewMem())
	defer shut(t, s)
	p := transfer.NewPins()
	defer p.Close()
	st := state(t, s, 5, sizes()...)
	var group sync.WaitGroup
	ids := make([]transfer.ID, 8)
	for i := range ids {
		group.Go(func() { ids[i] = pin(t, p, st, 5).ID })
	}
	group.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Error("a view was pinned twice")
		}
	}
	state(t, s, 6, 1)
	if m := pin(t, p, st, 4); m.ID != ids[0] {
		t.Error("an older label wants no newer view")
	}
	m := pin(t, p, st, 6)
	if m.ID == ids[0] || m.Header.Applied != 6 {
		t.Error("a view behind the label was given")
	}
	if _, err := p.Chunk(1, ids[0], 0); !errors.Is(err, transfer.ErrReleased) {
		t.Errorf("the old view: %v", err)
	}
	p.Release(1, ids[0])
	if _, err := p.Chunk(1, m.ID, 0); err != nil {
		t.Errorf("another's release: %v", err)
	}
	p.Release(1, m.ID)
	if _, err := p.Chunk(1, m.ID, 0); !errors.Is(err, transfer.ErrReleased) {
		t.Errorf("released: %v", err)
	}
}

func TestPinsAreReleasedByTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, vfs.NewMem())
		defer shut(t, s)
		p := transfer.NewPins()
		defer p.Close()
		st := state(t, s, 5, 1, 2, 3)
		m := pin(t, p, st, 5)
		for range 5 {
			time.Sleep(transfer.Idle - time.Second)
			if _, err := p.Chunk(1, m.ID, 0); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(transfer.Idle + time.Second)
		if _, err := p.Chunk(1, m.ID, 0); !errors.Is(err, transfer.ErrReleased) {
			t.Errorf("idle: %v", err)
		}
		m = pin(t, p, st, 5)
		end := time.Now().Add(transfer.Life + time.Second)
		var err error
		for err == nil && time.Now().Before(end) {
			time.Sleep(time.Minute)
			_, err = p.Chunk(1, m.ID, 0)
		}
		if !errors.Is(err, transfer.ErrReleased) {
			t.Errorf("at the end of its life: %v", err)
		}
	})
}

func TestPinMayBeGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, vfs.NewMem())
		defer shut(t, s)
		p := transfer.NewPins()
		st := state(t, s, 5, sizes()...)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := p.Pin(ctx, 1, 5, 1000, func() transfer.View { return st.View() }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		go func() {
			time.Sleep(time.Second)
			p.Close()
		}()
		if _, err := p.Pin(t.Context(), 1, 5, 1<<20, func() transfer.View { return st.View() }); !errors.Is(err, transfer.ErrReleased) {
			t.Errorf("closed while it was measured: %v", err)
		}
	})
}

// fetch brings over what is missing, up to most chunks, through power losses.
func fetch(p *transfer.Pins, d *transfer.Download, m *transfer.Manifest, most int) error {
	for range most {
		i, ok := d.Next()
		if !ok {
			return d.Finish()
		}
		b, err := p.Chunk(1, m.ID, i)
		if err != nil {
			return err
		}
		if err := d.Add(b); err != nil {
			return err
		}
	}
	return nil
}

// A state goes to another member in pieces, with losses of power, flipped bytes
// and the rest of an older transfer in the way; then it is installed.
func TestSnapshotIsFetchedAndInstalled(t *testing.T) {
	from := open(t, vfs.NewMem())
	defer shut(t, from)
	p := transfer.NewPins()
	defer p.Close()
	sender := state(t, from, 50, sizes()...)
	m := pin(t, p, sender, 50)

	mem := vfs.NewCrashableMem()
	to := open(t, mem)
	for round := 0; ; round++ {
		st, err := to.State(1, "c1")
		if err != nil {
			t.Fatal(err)
		}
		n, err := to.Snapshots(1, st)
		if err != nil {
			t.Fatal(err)
		}
		fs, path := n.Incoming()
		if round == 0 { // an older, longer one
			f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
			if err != nil {
				t.Fatal(err)
			}
			_, err = f.Write(make([]byte, m.Size()+1))
			if err := errors.Join(err, f.Close()); err != nil {
				t.Fatal(err)
			}
		}
		d, err := transfer.Resume(fs, path, m)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Add([]byte("something else")); !errors.Is(err, transfer.ErrBad) {
			t.Fatalf("a wrong chunk: %v", err)
		}
		if err := d.Finish(); round < 3 && !errors.Is(err, transfer.ErrBad) {
			t.Fatalf("not whole: %v", err)
		}
		if err := fetch(p, d, m, 2); err != nil {
			t.Fatal(err)
		}
		if i, ok := d.Next(); ok || i == 0 {
			crashed := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 60, RNG: rand.New(rand.NewPCG(uint64(round), 0))})
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			if round%2 == 1 {
				shut(t, to)
				mem = crashed
				to = open(t, mem)
			}
			if round > 200 {
				t.Fatal("it never ends")
			}
			continue
		}
		if err := errors.Join(install(n, m), restore(n, st)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(stream(t, sender), stream(t, st)) {
			t.Error("the states differ")
		}
		break
	}
	shut(t, to)
}

// install is what the group does when the manifest comes through Raft.
func install(n *store.Snapshots, m *transfer.Manifest) error {
	k, err := n.Create(1, 50, 3, raft.Configuration{}, 1, nil)
	if err != nil {
		return err
	}
	taker, ok := k.(store.Taker)
	if !ok {
		return errors.New("the sink takes nothing")
	}
	if err := taker.Take(m.Header, m.Size()-1); err == nil {
		return errors.New("a file of another length was taken")
	}
	if err := taker.Take(m.Header, m.Size()); err != nil {
		return err
	}
	return k.Close()
}

func restore(n *store.Snapshots, st *store.State) error {
	id, _, _, ok := n.Received()
	if !ok {
		return errors.New("nothing was received")
	}
	_, r, err := n.Open(id)
	if err != nil {
		return err
	}
	if err := errors.Join(st.Restore(r), r.Close()); err != nil {
		return err
	}
	return n.Restored(id)
}

func FuzzDecode(f *testing.F) {
	s := open(f, vfs.NewMem())
	defer shut(f, s)
	p := transfer.NewPins()
	defer p.Close()
	b, err := pin(f, p, state(f, s, 9, 1, 2), 9).Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := transfer.Decode(b)
		if (m == nil) != (err != nil) {
			t.Fatal(m, err)
		}
	})
}
