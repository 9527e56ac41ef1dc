package store

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
)

// image is the files of a store at one moment.
type image map[string][]byte

// imageOf reads a directory and all below it.
func imageOf(t testing.TB, fs vfs.FS, dir string, into image) image {
	t.Helper()
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		p := path.Join(dir, name)
		info, err := fs.Stat(p)
		if err != nil {
			t.Fatal(err)
		}
		if info.IsDir() {
			imageOf(t, fs, p, into)
			continue
		}
		f, err := fs.Open(p)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(f)
		if err = errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		into[p] = b
	}
	return into
}

// disk is a file system that holds the image.
func (i image) disk(t testing.TB) *vfs.MemFS {
	t.Helper()
	fs := vfs.NewMem()
	for p, b := range i {
		if err := fs.MkdirAll(path.Dir(p), 0o700); err != nil {
			t.Fatal(err)
		}
		f, err := fs.Create(p, vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.Write(bytes.Clone(b))
		if err = errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	return fs
}

// kindOf is what a file is, "" where it has no content or is none of ours.
func kindOf(p string) string {
	dir, name := path.Split(p)
	switch {
	case strings.HasPrefix(name, "MANIFEST-"):
		return "manifest of the " + path.Base(dir)
	case strings.HasSuffix(name, ".log"), strings.HasSuffix(name, ".sst"), strings.HasSuffix(name, ".blob"):
		return path.Ext(name)[1:] + " of the " + path.Base(dir)
	case strings.HasPrefix(name, "OPTIONS-"):
		return "options"
	case strings.HasSuffix(name, ".label"), strings.HasSuffix(name, ".data"):
		return "snapshot's " + path.Ext(name)[1:]
	case strings.HasSuffix(dir, "marks/"):
		return "marks " + name
	}
	return ""
}

// kinds are the files of each kind, in order.
func (i image) kinds() (names []string, files map[string][]string) {
	files = map[string][]string{}
	for p, b := range i {
		if k := kindOf(p); k != "" && len(b) > 0 {
			files[k] = append(files[k], p)
		}
	}
	for k := range files {
		slices.Sort(files[k])
		names = append(names, k)
	}
	slices.Sort(names)
	return names, files
}

// contents is what a store says, as one text a shard.
type contents map[uint16]string

// read opens the store and reads all of it, as a node would, and refuses what its
// groups would refuse. Whatever the store's Fatal is told is an error too.
func read(t testing.TB, fs vfs.FS) (got contents, err error) {
	t.Helper()
	o := options(t, fs)
	var mu sync.Mutex
	var fatal error
	o.Fatal = func(e error) {
		mu.Lock()
		defer mu.Unlock()
		fatal = errors.Join(fatal, e)
	}
	s, err := Open(o)
	if err != nil {
		return nil, err
	}
	got = contents{}
	for _, shard := range []uint16{1, 2} {
		text, e := readShard(s, shard)
		got[shard], err = text, errors.Join(err, e)
	}
	err = errors.Join(err, s.Close())
	mu.Lock()
	defer mu.Unlock()
	return got, errors.Join(err, fatal)
}

func readShard(s *Store, shard uint16) (text string, err error) {
	defer func() {
		if p := recover(); p != nil { // a state that cannot be read
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	r, err := tryReplica(s, shard)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	last, term := r.log.Tail()
	label, _ := r.snaps.Label()
	markTerm, marked := r.mark.Value()
	applied, _ := r.state.Applied()
	_, received, _, pending := r.snaps.Received()
	if (term < markTerm || term == markTerm && last < marked) && label < marked {
		return "", fmt.Errorf("the log in %s ends at %d, and %d was synced; let the node rejoin as new", s.path("log"), last, marked)
	}
	if pending {
		id, _, _, _ := r.snaps.Received()
		_, in, err := r.snaps.Open(id)
		if err != nil {
			return "", err
		}
		if err := errors.Join(r.state.Restore(in), in.Close()); err != nil {
			return "", err
		}
	} else if r.state.Restoring() || applied < label {
		return "", fmt.Errorf("the state in %s ends at %d, before the snapshot's %d; let the node rejoin as new", s.path("state"), applied, label)
	}
	first, _ := r.log.FirstIndex()
	fmt.Fprintf(&b, "log %d to %d, snapshot %d, received %d\n", first, last, label, received)
	for i := first; i <= last && i > 0; i++ {
		var e raft.Log
		if err := r.log.GetLog(i, &e); err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "%d %d %v %x\n", e.Index, e.Term, e.Type, sha256.Sum256(e.Data))
	}
	for _, key := range []string{"CurrentTerm", "LastVoteTerm", "LastVoteCand"} {
		v, err := r.log.Get([]byte(key))
		fmt.Fprintf(&b, "%s %x %v\n", key, v, err)
	}
	index, applyTerm := r.state.Applied()
	fmt.Fprintf(&b, "state %d %d %x %x\n", index, applyTerm, r.state.Chain(), sum(r.state))
	return b.String(), s.Err()
}

// storedBefore writes a store with all kinds of files: tables and blobs and a WAL in
// both halves of their lives, a marker, a received snapshot, votes, a log that was
// cut at both ends.
func storedBefore(t testing.TB) (closed, crashed image) {
	t.Helper()
	b, _ := streamOf(t, 100, 1)
	fs := vfs.NewCrashableMem()
	s := open(t, fs)
	one, two := replicaOf(t, s, 1), replicaOf(t, s, 2)
	rng := rand.New(rand.NewPCG(11, 11))
	vote := func(r replica, term uint64) {
		err := errors.Join(r.log.SetUint64([]byte("CurrentTerm"), term),
			r.log.SetUint64([]byte("LastVoteTerm"), term), r.log.Set([]byte("LastVoteCand"), fmt.Appendf(nil, "n%d", term)))
		if err != nil {
			t.Fatal(err)
		}
	}
	index := uint64(0)
	for round := range uint64(6) {
		vote(one, round+1)
		vote(two, round+1)
		for range 12 {
			index++
			store(t, one.log, newEntry(index, round+1, rng.IntN(4000)))
			store(t, two.log, newEntry(index, round+1, rng.IntN(300)))
		}
		filled(t, one.state, index, round)
		put(two.state, index, fmt.Sprint(round), strings.Repeat("v", rng.IntN(3000)))
		if err := s.FlushState(); err != nil {
			t.Fatal(err)
		}
		if round%2 == 0 {
			if err := s.log.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	// Entries 60 to 72 of the second shard are replaced by those of a newer term.
	if err := errors.Join(two.mark.Lower(5, 59), two.log.DeleteRange(60, index)); err != nil {
		t.Fatal(err)
	}
	vote(two, 8)
	store(t, two.log, entries(60, 64, 8, 2000)...)
	k, err := one.snaps.Create(1, 70, 6, configuration, 1, nil)
	if err := errors.Join(err, k.Close(), one.log.DeleteRange(1, 40)); err != nil {
		t.Fatal(err)
	}
	if _, err := receive(t, two.snaps, 100, shardOf(t, b, 2)); err != nil {
		t.Fatal(err)
	}
	vote(one, 9)
	store(t, one.log, entries(73, 80, 9, 20_000)...)
	if err := errors.Join(one.mark.Lower(9, 80), two.mark.Lower(8, 64)); err != nil {
		t.Fatal(err)
	}
	settle(t, s)
	crashed = imageOf(t, fs.CrashClone(vfs.CrashCloneCfg{}), "data", image{})
	shut(t, s)
	return imageOf(t, fs, "data", image{}), crashed
}

// shardOf is the stream as another shard would send it.
func shardOf(t testing.TB, b []byte, shard uint16) []byte {
	t.Helper()
	s := open(t, vfs.NewMem())
	defer shut(t, s)
	st, err := s.State(shard, "c1")
	if err != nil {
		t.Fatal(err)
	}
	filled(t, st, 100, 77)
	return streamed(t, st)
}

// settle waits until the marks are on disk, as they are 100 ms after the last
// write.
func settle(t testing.TB, s *Store) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if s.marks.Settled() && s.files.Settled() {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the marks are never written")
		}
	}
}

// damage is something that happens to a file.
type damage struct {
	how string // "flip", "zero" or "cut"
	at  int
	bit byte
}

func (d damage) do(b []byte) []byte {
	b = bytes.Clone(b)
	at := d.at % len(b)
	switch d.how {
	case "flip":
		b[at] ^= 1 << (d.bit % 8)
	case "zero":
		clear(b[at:min(at+512, len(b))])
	case "cut":
		b = b[:at]
	}
	return b
}

// judge says what is wrong with what a store makes of a damaged file: it may tell
// what it was told, or fail with words, nothing else.
func judge(t testing.TB, img image, want contents, file string, d damage) (refused bool) {
	t.Helper()
	damaged := image{}
	for p, b := range img {
		damaged[p] = b
	}
	damaged[file] = d.do(img[file])
	if bytes.Equal(damaged[file], img[file]) {
		return false
	}
	got, err := read(t, damaged.disk(t))
	if err != nil {
		text := err.Error()
		if !strings.Contains(text, path.Base(file)) && !strings.Contains(text, path.Dir(file)) {
			t.Errorf("%s of %s at %d: the file is not named: %v", d.how, file, d.at, err)
		}
		return true
	}
	for shard := range want {
		if got[shard] != want[shard] {
			t.Errorf("%s of %s at %d of %d: shard %d has silently changed:\n%s\nbefore:\n%s", d.how, file, d.at, len(img[file]), shard, got[shard], want[shard])
		}
	}
	return false
}

// Whatever byte of whatever file is flipped, zeroed or missing: what is read is
// what was written, or there is an error that names the file.
func TestDamageIsNeverServed(t *testing.T) {
	closed, crashed := storedBefore(t)
	want, err := read(t, closed.disk(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, img := range map[string]image{"closed": closed, "crashed": crashed} {
		t.Run(name, func(t *testing.T) {
			if got, err := read(t, img.disk(t)); err != nil || got[1] != want[1] || got[2] != want[2] {
				t.Fatalf("undamaged: %v\n%v", err, got)
			}
			rng := rand.New(rand.NewPCG(3, 14))
			names, files := img.kinds()
			for _, kind := range names {
				refused, tried := 0, 0
				for _, how := range []string{"flip", "flip", "flip", "flip", "zero", "cut", "cut", "cut"} {
					file := files[kind][rng.IntN(len(files[kind]))]
					d := damage{how, rng.IntN(len(img[file])), byte(rng.IntN(8))}
					for strings.HasPrefix(kind, "marks") && img[file][d.at] == 0 {
						d.at = rng.IntN(len(img[file])) // most of it is empty
					}
					tried++
					if judge(t, img, want, file, d) {
						refused++
					}
				}
				t.Logf("%s: %d files, %d of %d damages refused", kind, len(files[kind]), refused, tried)
			}
		})
	}
}

// What a read has found damaged costs one shard: the next start refuses it, and
// Drop gives its place to a new replica. The others, and their compactions, are
// not concerned.
func TestDamagedShardIsRefusedAndMadeAnew(t *testing.T) {
	for _, kind := range []string{".sst", ".blob"} {
		t.Run(kind, func(t *testing.T) { refuseOne(t, kind) })
	}
}

func refuseOne(t *testing.T, kind string) {
	fs := vfs.NewMem()
	s := open(t, fs)
	for shard := range uint16(3) {
		r := replicaOf(t, s, shard)
		r.fill(t)
		if err := errors.Join(s.log.Flush(), s.FlushState()); err != nil {
			t.Fatal(err)
		}
	}
	want := viewed(replicaOf(t, s, 2).state)
	// The tables of the second shard, which was flushed apart from the others.
	tables, err := s.state.SSTables()
	if err != nil {
		t.Fatal(err)
	}
	var file string
	for _, level := range tables {
		for _, table := range level {
			if table.Smallest.UserKey[1] == 1 && table.Largest.UserKey[1] == 1 {
				file = fmt.Sprintf("data/state/%06d", table.FileNum)
			}
		}
	}
	shut(t, s)
	if kind == ".blob" {
		file = blobBehind(t, fs, file)
	}
	overwrite(t, fs, strings.TrimSuffix(file, kind)+kind, func(b []byte) []byte {
		b[len(b)/3] ^= 1
		return b
	})

	o := options(t, fs)
	fatal := 0
	o.Fatal = func(error) { fatal++ }
	s = openWith(t, o)
	if _, err := readShard(s, 1); err == nil || fatal == 0 || !strings.Contains(err.Error(), file) {
		t.Fatalf("the damage was not found, or has no name: %v", err)
	}
	_ = s.Close() // a dead store may say so

	s = open(t, fs)
	defer shut(t, s)
	if err := s.Damaged(1); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), file) {
		t.Errorf("the next start: %v", err)
	}
	if _, err := tryReplica(s, 1); !errors.Is(err, ErrDamaged) {
		t.Errorf("a damaged replica was opened: %v", err)
	}
	everything := func() error {
		return errors.Join(s.verify(0), s.verify(2))
	}
	if err := errors.Join(everything(), s.Drop(1), everything(), s.verify(1)); err != nil {
		t.Fatal(err)
	}
	if err := s.state.Compact(t.Context(), []byte{0}, []byte{0xff}, false); err != nil {
		t.Fatalf("compaction: %v", err)
	}
	r := replicaOf(t, s, 1)
	r.empty(t)
	r.fill(t)
	if got := viewed(replicaOf(t, s, 2).state); len(got) != len(want) {
		t.Errorf("the other shard has %d keys of %d", len(got), len(want))
	}
}

// A compaction that finds damage in a table of several shards stops the node; the
// next start finds out whose it is and goes on with the others, and compactions
// stop nobody any more.
func TestDamageFoundByACompaction(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, fs)
	for shard := range uint16(3) {
		u := replicaOf(t, s, shard).state.Update()
		for i := range 2000 {
			u.Set(fmt.Appendf(nil, "%06d", i), bytes.Repeat([]byte{byte(i)}, 50))
		}
		u.Commit(1, 1, chainOf(1))
	}
	shut(t, s) // flushes all into one table
	names, err := fs.List("data/state")
	if err != nil {
		t.Fatal(err)
	}
	file := ""
	for _, n := range names {
		if info, err := fs.Stat("data/state/" + n); err == nil && strings.HasSuffix(n, ".sst") && info.Size() > 10_000 {
			file = "data/state/" + n
		}
	}
	overwrite(t, fs, file, func(b []byte) []byte {
		b[len(b)/2] ^= 1
		return b
	})
	o := options(t, fs)
	fatal := make(chan error, 1)
	o.Fatal = func(err error) { fatal <- err }
	s = openWith(t, o)
	put(replicaOf(t, s, 0).state, 2, "something", "to compact with")
	if err := s.FlushState(); err != nil {
		t.Fatal(err)
	}
	if err := s.state.Compact(t.Context(), []byte{0}, []byte{0xff}, false); err == nil {
		t.Fatal("the damage was not found")
	}
	if err := <-fatal; !strings.Contains(err.Error(), file) {
		t.Errorf("the file has no name: %v", err)
	}
	_ = s.Close() // a dead store may say so

	s = open(t, fs)
	var damaged []uint16
	for shard := range uint16(3) {
		if err := s.Damaged(shard); err != nil {
			damaged = append(damaged, shard)
			if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), file) {
				t.Error(err)
			}
		} else if n := len(viewed(replicaOf(t, s, shard).state)); n < 2000 {
			t.Errorf("shard %d has %d keys", shard, n)
		}
	}
	if len(damaged) != 1 {
		t.Fatalf("damaged are %v", damaged)
	}
	_ = s.state.Compact(t.Context(), []byte{0}, []byte{0xff}, false) // finds it again
	if err := s.Drop(damaged[0]); err != nil {
		t.Fatal(err)
	}
	if err := s.state.Compact(t.Context(), []byte{0}, []byte{0xff}, false); err != nil {
		t.Errorf("after it was dropped: %v", err)
	}
	shut(t, s)
}

// blobBehind is the blob file that was written with a table: the one with the
// next number.
func blobBehind(t testing.TB, fs vfs.FS, table string) string {
	t.Helper()
	names, err := fs.List("data/state")
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	for _, n := range names {
		if p := "data/state/" + n; strings.HasSuffix(n, ".blob") && p > table {
			return strings.TrimSuffix(p, ".blob")
		}
	}
	t.Fatal("there is no blob file")
	return ""
}

// A vote that was lost with the end of the log is missed, though no entry is.
func TestLostVoteIsMissed(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := open(t, fs)
	l := logOf(t, s)
	store(t, l, entries(1, 9, 1, 100)...)
	if err := markOf(t, s).Lower(1, 9); err != nil {
		t.Fatal(err)
	}
	before := fs.CrashClone(vfs.CrashCloneCfg{})
	for term := uint64(2); term < 40; term++ {
		if err := l.SetUint64([]byte("CurrentTerm"), term); err != nil {
			t.Fatal(err)
		}
	}
	settle(t, s)
	after := imageOf(t, fs.CrashClone(vfs.CrashCloneCfg{}), "data", image{})
	shut(t, s)
	damaged := image{}
	for p, b := range after {
		damaged[p] = b
		if kindOf(p) == "log of the log" {
			damaged[p] = b[:len(imageOf(t, before, "data", image{})[p])]
		}
	}
	s = open(t, damaged.disk(t))
	defer shut(t, s)
	if last, _ := logOf(t, s).LastIndex(); last != 9 {
		t.Errorf("the log ends at %d", last)
	}
	if _, err := s.Mark(1); !errors.Is(err, ErrForgotten) {
		t.Errorf("got %v", err)
	}
}

// FuzzDamage goes on where TestDamageIsNeverServed ends:
// go test -fuzz FuzzDamage -fuzztime 5m ./cluster/store
func FuzzDamage(f *testing.F) {
	closed, crashed := storedBefore(f)
	want, err := read(f, closed.disk(f))
	if err != nil {
		f.Fatal(err)
	}
	names, files := crashed.kinds()
	hows := []string{"flip", "zero", "cut"}
	f.Add(uint8(0), uint8(0), uint8(0), uint32(17), uint8(3))
	f.Fuzz(func(t *testing.T, kind, which, how uint8, at uint32, bit uint8) {
		of := files[names[int(kind)%len(names)]]
		judge(t, crashed, want, of[int(which)%len(of)], damage{hows[int(how)%len(hows)], int(at), bit})
	})
}
