package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"quorumta/cluster/store/stream"
)

var made = time.Date(2026, 11, 23, 15, 0, 0, 0, time.UTC)

// fake is a state of a number of pairs.
type fake struct {
	header stream.Header
	pairs  int
	wrong  func([]byte) []byte // nil: nothing is
}

func (f fake) bytes() []byte {
	var b bytes.Buffer
	w := stream.NewWriter(&b, f.header)
	for i := range f.pairs {
		_ = w.Pair(fmt.Appendf(nil, "%08d", i), bytes.Repeat([]byte{byte(i)}, i))
	}
	_, _ = w.Close()
	if f.wrong != nil {
		return f.wrong(b.Bytes())
	}
	return b.Bytes()
}

func (f fake) Size() (int64, error) {
	f.wrong = nil
	return int64(len(f.bytes())), nil
}

func (f fake) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, bytes.NewReader(f.bytes()))
}

func shard(n uint16, pairs int) fake {
	return fake{header: stream.Header{Cluster: "c1", Shard: n, Applied: 100 * uint64(n), Term: 3}, pairs: pairs}
}

func write(t testing.TB, sources ...Source) ([]byte, []Section) {
	t.Helper()
	var b bytes.Buffer
	w := NewWriter(t.Context(), &b, Options{Cluster: "c1", Made: made})
	for _, s := range sources {
		if _, err := w.Add(s); err != nil {
			t.Fatal(err)
		}
	}
	sections, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), sections
}

func TestBackupIsReadAsWritten(t *testing.T) {
	for _, sources := range [][]Source{nil, {shard(1, 0)}, {shard(2, 300), shard(1, 1000)}} {
		b, want := write(t, sources...)
		h, got, err := Verify(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" || len(got) != len(sources) {
			t.Error(d)
		}
		if h != (Header{Cluster: "c1", Made: made}) {
			t.Errorf("header is %+v", h)
		}
		in, err := NewReader(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range sources {
			r, err := in.Next()
			if err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				continue // left unread
			}
			if section, err := io.ReadAll(r); err != nil || !bytes.Equal(section, s.(fake).bytes()) {
				t.Errorf("section %d: %v", i, err)
			}
		}
		if _, err := in.Next(); !errors.Is(err, io.EOF) {
			t.Errorf("behind the last: %v", err)
		}
	}
}

// Every byte of a backup counts, and every length.
func TestDamagedBackupIsRefused(t *testing.T) {
	good, _ := write(t, shard(1, 2), shard(2, 4))
	for i := range good {
		b := bytes.Clone(good)
		b[i] ^= 0x04
		if _, _, err := Verify(bytes.NewReader(b)); err == nil {
			t.Errorf("byte %d changed: it was taken", i)
		} else if i != 5 && i != 4 && !errors.Is(err, ErrBad) {
			t.Errorf("byte %d changed: %v", i, err)
		}
		if _, _, err := Verify(bytes.NewReader(good[:i])); !errors.Is(err, ErrBad) {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
	if _, _, err := Verify(bytes.NewReader(append(bytes.Clone(good), 0))); !errors.Is(err, ErrBad) {
		t.Errorf("longer: %v", err)
	}
}

func TestNoBackupIsMadeOfWhatCannotBeRestored(t *testing.T) {
	flipped := shard(1, 9)
	flipped.wrong = func(b []byte) []byte { b[len(b)/2] ^= 1; return b }
	short := shard(1, 9)
	short.wrong = func(b []byte) []byte { return b[:len(b)-9] }
	foreign := shard(1, 9)
	foreign.header.Cluster = "c2"
	for name, sources := range map[string][]Source{
		"flipped": {flipped}, "short": {short}, "foreign": {foreign}, "twice": {shard(1, 1), shard(1, 2)},
	} {
		w := NewWriter(t.Context(), io.Discard, Options{Cluster: "c1", Made: made})
		var err error
		for _, s := range sources {
			_, err = w.Add(s)
		}
		if err == nil {
			t.Errorf("%s: it was added", name)
		}
		if _, err := w.Close(); err == nil {
			t.Errorf("%s: the error was forgotten", name)
		}
	}
}

type failing struct{ after int }

func (f *failing) Write(b []byte) (int, error) {
	if f.after -= len(b); f.after < 0 {
		return 0, errors.New("no space left")
	}
	return len(b), nil
}

func TestDestinationFails(t *testing.T) {
	for after := 0; after < 3000; after += 101 {
		w := NewWriter(t.Context(), &failing{after}, Options{Cluster: "c1", Made: made})
		_, err := w.Add(shard(1, 300))
		if _, closing := w.Close(); err == nil || closing == nil {
			t.Fatalf("after %d bytes: %v, %v", after, err, closing)
		}
	}
}

func TestRateAndContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		w := NewWriter(t.Context(), io.Discard, Options{Cluster: "c1", Made: made, Rate: 100_000})
		section, err := w.Add(shard(1, 1000))
		if err != nil {
			t.Fatal(err)
		}
		if d, want := time.Since(start), time.Duration(section.Size)*time.Second/100_000; d < want*3/4 || d > want*5/4 {
			t.Errorf("%d bytes took %v", section.Size, d)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		w = NewWriter(ctx, io.Discard, Options{Cluster: "c1", Made: made, Rate: 1000})
		if _, err := w.Add(shard(1, 1000)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

func TestLineage(t *testing.T) {
	_, sections := write(t, shard(1, 5), shard(2, 5))
	seen := map[[16]byte]bool{{}: true}
	for _, cluster := range []string{"c1", "c2"} {
		for _, s := range sections {
			if l := Lineage(cluster, s); seen[l] || l != Lineage(cluster, s) {
				t.Error("a lineage is used twice, or drawn")
			} else {
				seen[l] = true
			}
		}
	}
}

func FuzzVerify(f *testing.F) {
	good, _ := write(f, shard(1, 2))
	f.Add(good)
	rng := rand.New(rand.NewPCG(1, 1))
	for range 20 {
		b := bytes.Clone(good)
		b[rng.IntN(len(b))] = byte(rng.Uint32())
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		_, sections, err := Verify(bytes.NewReader(b))
		if err == nil && len(sections) > 0 && sections[0].Cluster == "" {
			t.Skip("somebody else's")
		}
	})
}
