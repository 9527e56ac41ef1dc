package ballast

import (
	"errors"
	"log/slog"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

func open(t *testing.T, fs vfs.FS, bytes int64) *Ballast {
	t.Helper()
	b, err := Open(Options{FS: fs, Path: "ballast", Bytes: bytes, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func size(fs vfs.FS) int64 {
	info, err := fs.Stat("ballast")
	if err != nil {
		return -1
	}
	return info.Size()
}

func TestBallastIsKept(t *testing.T) {
	fs := vfs.NewMem()
	for _, n := range []int64{5<<20 + 7, 3 << 20, 3 << 20} {
		open(t, fs, n)
		if size(fs) != n {
			t.Errorf("%d bytes instead of %d", size(fs), n)
		}
	}
	open(t, fs, 0)
	if size(fs) != -1 {
		t.Error("it was not removed")
	}
}

// A full disk costs the ballast, and the write succeeds.
func TestFullDisk(t *testing.T) {
	mem := vfs.NewMem()
	var armed atomic.Bool
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if armed.Load() && op.Kind == errorfs.OpFileWrite && size(mem) >= 0 {
			return syscall.ENOSPC
		}
		return nil
	}))
	b := open(t, fs, 1<<20)
	f, err := b.FS().Create("wal", vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	armed.Store(true)
	if n, err := f.Write([]byte("an outcome")); n != 10 || err != nil {
		t.Errorf("%d bytes: %v", n, err)
	}
	if size(mem) != -1 || b.Full() != 1 {
		t.Errorf("the ballast has %d bytes, full %d times", size(mem), b.Full())
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestNoRoomForBallast(t *testing.T) {
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileWrite {
			return syscall.ENOSPC
		}
		return nil
	}))
	open(t, fs, 1<<20)
	if size(fs) != -1 {
		t.Error("half a ballast is kept")
	}
	if _, err := fs.Stat("ballast"); err == nil || errors.Is(err, syscall.ENOSPC) {
		t.Error(err)
	}
}
