package mark

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

func open(t testing.TB, fs vfs.FS) *File {
	t.Helper()
	f, err := Open(Options{FS: fs, Path: "marks", Log: slog.New(slog.DiscardHandler), Fail: func(err error) error {
		t.Errorf("failed: %v", err)
		return err
	}})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func shut(t testing.TB, f *File) {
	t.Helper()
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

func shard(t testing.TB, f *File, id uint16) *Mark {
	t.Helper()
	m, err := f.Shard(id, false)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func want(t testing.TB, m *Mark, term, index uint64) {
	t.Helper()
	if gt, gi := m.Value(); gt != term || gi != index {
		t.Errorf("mark is (%d, %d), want (%d, %d)", gt, gi, term, index)
	}
}

func TestRaiseFollowsWithinLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewCrashableMem()
		f := open(t, fs)
		dir, err := fs.OpenDir("/")
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
			t.Fatal(err)
		}
		m, other := shard(t, f, 1), shard(t, f, 2)
		want(t, m, 0, 0)
		m.Raise(1, 5)
		m.Raise(2, 3)
		m.Raise(1, 9)
		other.Raise(7, 7)
		want(t, m, 0, 0)
		time.Sleep(Lag)
		synctest.Wait()
		want(t, m, 2, 3)
		want(t, other, 7, 7)
		if err := m.Lower(1, 7); err != nil {
			t.Fatal(err)
		}
		want(t, m, 1, 7)
		m.Raise(1, 8)
		lost := fs.CrashClone(vfs.CrashCloneCfg{})
		shut(t, f) // writes what was raised
		f = open(t, fs)
		want(t, shard(t, f, 1), 1, 8)
		shut(t, f)
		f = open(t, lost)
		want(t, shard(t, f, 1), 1, 7)
		want(t, shard(t, f, 2), 7, 7)
		shut(t, f)
	})
}

// scribble writes into the file.
func scribble(t *testing.T, fs vfs.FS, offset int64, b []byte) {
	t.Helper()
	f, err := fs.OpenReadWrite("marks", vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt(b, offset)
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestTornWriteLeavesTheMarkBefore(t *testing.T) {
	fs := vfs.NewMem()
	f := open(t, fs)
	m := shard(t, f, 1)
	if err := errors.Join(m.Lower(1, 10), m.Lower(1, 20)); err != nil {
		t.Fatal(err)
	}
	torn := offset(1, m.seq)
	shut(t, f)
	scribble(t, fs, torn+20, []byte("torn"))
	f = open(t, fs)
	m = shard(t, f, 1)
	want(t, m, 1, 10)
	if err := m.Lower(1, 15); err != nil {
		t.Fatal(err)
	}
	shut(t, f)
	f = open(t, fs)
	want(t, shard(t, f, 1), 1, 15)
	shut(t, f)
}

func TestDamageIsAnError(t *testing.T) {
	fs := vfs.NewMem()
	f := open(t, fs)
	m := shard(t, f, 1)
	if err := errors.Join(m.Lower(1, 10), m.Lower(1, 20)); err != nil {
		t.Fatal(err)
	}
	shut(t, f)
	for slot := range uint64(2) {
		scribble(t, fs, offset(1, slot), []byte("damage"))
	}
	f = open(t, fs)
	defer shut(t, f)
	if _, err := f.Shard(1, false); !errors.Is(err, ErrDamaged) {
		t.Errorf("damaged: %v", err)
	}
	if _, err := f.Shard(2, true); !errors.Is(err, ErrDamaged) {
		t.Errorf("missing: %v", err)
	}
	want(t, shard(t, f, 3), 0, 0)
}

func TestNothingIsWrittenAfterAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errorfs.Toggle{Injector: errorfs.ErrInjected.If(errorfs.Writes)}
		var fails []error
		f, err := Open(Options{FS: errorfs.Wrap(vfs.NewMem(), &broken), Path: "marks", Log: slog.New(slog.DiscardHandler), Fail: func(err error) error {
			fails = append(fails, err)
			return err
		}})
		if err != nil {
			t.Fatal(err)
		}
		m := shard(t, f, 1)
		broken.On()
		m.Raise(1, 1)
		time.Sleep(Lag)
		synctest.Wait()
		broken.Off()
		if err := m.Lower(1, 2); err == nil || len(fails) != 1 {
			t.Errorf("lowered after %v: %v", fails, err)
		}
		want(t, m, 0, 0)
		if err := f.Close(); err == nil {
			t.Error("closing hides the failure")
		}
	})
}

// A slot of the first version has no ballots.
func TestFirstVersionIsRead(t *testing.T) {
	b := append(make([]byte, 0, size), magic...)
	b = binary.BigEndian.AppendUint16(b, 1)
	b = binary.BigEndian.AppendUint16(b, 7)
	for _, n := range []uint64{5, 3, 99} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	for _, slot := range [][]byte{b, append(b, make([]byte, size-len(b))...)} {
		seq, v, ok := decode(slot, 7)
		if !ok || seq != 5 || v != (value{term: 3, index: 99}) {
			t.Errorf("got %d, %+v, %v", seq, v, ok)
		}
	}
	if _, _, ok := decode(b, 8); ok {
		t.Error("another shard's slot was taken")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(encode(7, 9, value{1, 2, 3}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, v, ok := decode(b, 7); !ok && v != (value{}) {
			t.Error("a value without a slot")
		}
	})
}
