package intact

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// quiet is a Pebble's log.
type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf(format, args...))
}

// crashed is what a Pebble leaves that was cut off by a crash: a MANIFEST of
// several edits, WALs that were not flushed yet, and what is known of it.
func crashed(t *testing.T) (*vfs.MemFS, Known) {
	t.Helper()
	mem := vfs.NewCrashableMem()
	var mu sync.Mutex
	var known Known
	var full atomic.Bool
	stop := make(chan struct{})
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if full.Load() && op.Kind == errorfs.OpCreate && strings.HasSuffix(op.Path, ".sst") {
			<-stop // no flush ends
		}
		return nil
	}))
	start := func() *pebble.DB {
		created := false
		db, err := pebble.Open("db", &pebble.Options{
			FS: Watch(fs, func(l Length) {
				mu.Lock()
				defer mu.Unlock()
				known.Manifest = l
			}),
			FormatMajorVersion: pebble.FormatNewest,
			MemTableSize:       64 << 10,
			Logger:             quiet{},
			EventListener: &pebble.EventListener{
				WALCreated: func(i pebble.WALCreateInfo) {
					mu.Lock()
					defer mu.Unlock()
					if !created {
						created, known.WAL = true, uint64(i.FileNum)
					}
				},
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	for range 2 { // the first WAL of all is of an older format
		db := start()
		write(t, db, 5)
		if err := errors.Join(db.Flush(), db.Close()); err != nil {
			t.Fatal(err)
		}
	}
	db := start()
	full.Store(true)
	write(t, db, 40)
	clone := mem.CrashClone(vfs.CrashCloneCfg{})
	mu.Lock()
	at := known
	mu.Unlock()
	close(stop)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return clone, at
}

func write(t *testing.T, db *pebble.DB, n int) {
	t.Helper()
	for i := range n {
		if err := db.Set(fmt.Appendf(nil, "%d", i), make([]byte, 2000), pebble.Sync); err != nil {
			t.Fatal(err)
		}
	}
}

// files are the paths that begin or end so, ascending.
func files(t *testing.T, fs vfs.FS, prefix, suffix string) (paths []string) {
	t.Helper()
	names, err := fs.List("db")
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	for _, n := range names {
		if strings.HasPrefix(n, prefix) && strings.HasSuffix(n, suffix) {
			paths = append(paths, "db/"+n)
		}
	}
	return paths
}

func content(t *testing.T, fs vfs.FS, path string) []byte {
	t.Helper()
	f, err := fs.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(f)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	return b
}

func replace(t *testing.T, fs vfs.FS, path string, b []byte) {
	t.Helper()
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Write(bytes.Clone(b))
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// Every byte of a MANIFEST counts up to the length that was synced, and what is
// torn behind it does not.
func TestManifest(t *testing.T) {
	fs, known := crashed(t)
	path := slices.Max(files(t, fs, "MANIFEST-", ""))
	good := content(t, fs, path)
	if known.Manifest.Bytes != int64(len(good)) {
		t.Fatalf("%d bytes were synced of %d", known.Manifest.Bytes, len(good))
	}
	check := func(what string, b []byte, refused bool) {
		t.Helper()
		replace(t, fs, path, b)
		switch err := Check(fs, "db", known); {
		case !refused && err != nil:
			t.Errorf("%s: %v", what, err)
		case refused && (!errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), path)):
			t.Errorf("%s: it was taken: %v", what, err)
		}
	}
	check("whole", good, false)
	for i := range good {
		b := bytes.Clone(good)
		b[i] ^= 0x20
		check(fmt.Sprintf("byte %d changed", i), b, true)
		check(fmt.Sprintf("cut at %d", i), good[:i], true)
	}
	check("torn behind it", append(bytes.Clone(good), good[:40]...), false)
	check("torn behind it", append(bytes.Clone(good), 1, 2, 3), false)
	known.Manifest.Number-- // the node ended before the new one was noted
	check("newer than known", good[:len(good)-1], false)
	check("newer than known, without a beginning", good[:9], true)
}

// A WAL that was closed has an end; the newest may lack it, but has no damage
// before what it says to have synced.
func TestWALs(t *testing.T) {
	fs, known := crashed(t)
	wals := files(t, fs, "", ".log")
	if len(wals) < 2 {
		t.Fatalf("WALs are %q", wals)
	}
	check := func() error { return Check(fs, "db", known) }
	if err := check(); err != nil {
		t.Fatal(err)
	}
	named := func(what, path string) {
		t.Helper()
		if err := check(); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", what, err)
		}
	}
	older, newest := wals[0], wals[len(wals)-1]
	good := content(t, fs, older)
	for _, n := range []int{0, 1, 100, 32 << 10, len(good) / 2, len(good) - 1, len(good) - 12} {
		if n < len(good) {
			replace(t, fs, older, good[:n])
			named(fmt.Sprintf("older cut at %d of %d", n, len(good)), older)
		}
	}
	for _, at := range []int{5, 30, len(good) / 2} {
		b := bytes.Clone(good)
		b[at] ^= 1
		replace(t, fs, older, b)
		named(fmt.Sprintf("older changed at %d", at), older)
	}
	known.WAL++ // all that it has was flushed, and it waits to be deleted
	if err := check(); err != nil {
		t.Errorf("of no concern: %v", err)
	}
	known.WAL--
	replace(t, fs, older, good)
	good = content(t, fs, newest)
	for n := 0; n < len(good); n += 97 {
		replace(t, fs, newest, good[:n])
		if err := check(); err != nil {
			t.Fatalf("newest cut at %d: %v", n, err)
		}
	}
}

// A blob file without a proper end cannot be opened.
func TestBlobs(t *testing.T) {
	mem := vfs.NewMem()
	o := &pebble.Options{FS: mem, FormatMajorVersion: pebble.FormatNewest, Logger: quiet{}}
	o.Experimental.ValueSeparationPolicy = func() pebble.ValueSeparationPolicy {
		return pebble.ValueSeparationPolicy{Enabled: true, MinimumSize: 100, MaxBlobReferenceDepth: 10}
	}
	db, err := pebble.Open("db", o)
	if err != nil {
		t.Fatal(err)
	}
	write(t, db, 5)
	if err := errors.Join(db.Flush(), db.Close()); err != nil {
		t.Fatal(err)
	}
	blobs := files(t, mem, "", ".blob")
	if len(blobs) == 0 {
		t.Fatal("there is no blob file")
	}
	fs := Watch(mem, func(Length) {})
	open := func() error {
		f, err := fs.Open(blobs[0])
		if err != nil {
			return err
		}
		return f.Close()
	}
	if err := open(); err != nil {
		t.Fatal(err)
	}
	good := content(t, mem, blobs[0])
	for i := range footerSize {
		b := bytes.Clone(good)
		b[len(b)-1-i] ^= 8
		replace(t, mem, blobs[0], b)
		if err := open(); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), blobs[0]) {
			t.Errorf("byte %d from its end changed: %v", i, err)
		}
		replace(t, mem, blobs[0], good[:i])
		if err := open(); !errors.Is(err, ErrDamaged) {
			t.Errorf("%d bytes: %v", i, err)
		}
	}
}

func TestNewStore(t *testing.T) {
	fs := vfs.NewMem()
	if err := fs.MkdirAll("db", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Check(fs, "db", Known{}); err != nil {
		t.Error(err)
	}
	if err := Check(fs, "db", Known{Manifest: Length{Number: 3, Bytes: 9}}); !errors.Is(err, ErrDamaged) {
		t.Errorf("an emptied store: %v", err)
	}
}
