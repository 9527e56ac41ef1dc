package cluster_test

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"quorumta/cluster"
)

// hanging is a file system whose writes and syncs wait while it hangs.
type hanging struct {
	vfs.FS
	mu    sync.Mutex
	waits chan struct{} // closed when it hangs no longer; nil while it does not
}

func (h *hanging) hang() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.waits = make(chan struct{})
}

func (h *hanging) resume() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.waits != nil {
		close(h.waits)
		h.waits = nil
	}
}

func (h *hanging) wait() {
	h.mu.Lock()
	waits := h.waits
	h.mu.Unlock()
	if waits != nil {
		<-waits
	}
}

func (h *hanging) wrap(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &hangingFile{f, h}, nil
}

func (h *hanging) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return h.wrap(h.FS.Create(name, c))
}

func (h *hanging) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	return h.wrap(h.FS.OpenReadWrite(name, c, o...))
}

func (h *hanging) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return h.wrap(h.FS.ReuseForWrite(from, to, c))
}

type hangingFile struct {
	vfs.File
	fs *hanging
}

func (f *hangingFile) Write(p []byte) (int, error) {
	f.fs.wait()
	return f.File.Write(p)
}

func (f *hangingFile) Sync() error {
	f.fs.wait()
	return f.File.Sync()
}

func (f *hangingFile) SyncData() error {
	f.fs.wait()
	return f.File.SyncData()
}

func (f *hangingFile) SyncTo(n int64) (bool, error) {
	f.fs.wait()
	return f.File.SyncTo(n)
}

// inHangingWorld runs f with nodes whose disks can hang.
func inHangingWorld(t *testing.T, f func(w *world, disks map[string]*hanging)) {
	disks := map[string]*hanging{}
	tune := func(name string, o *cluster.Options) {
		disks[name] = &hanging{FS: o.FS}
		o.FS = disks[name]
	}
	inTunedWorld(t, 3, 1, tune, func(w *world) {
		w.within(30*time.Second, "n1 leads", func() bool { return w.leader(1) == "n1" })
		time.Sleep(3 * time.Second)
		f(w, disks)
		for _, d := range disks {
			d.resume()
		}
	})
}

func (w *world) fatal(name string) error {
	m := w.nodes[name]
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.fatal
}

// A leader whose disk hangs falls silent, so that the others elect, and ends
// when it lasts (PROTOCOL 30, hashicorp/raft#503).
func TestLeaderWithHungDisk(t *testing.T) {
	inHangingWorld(t, func(w *world, disks map[string]*hanging) {
		disks["n1"].hang()
		start := time.Now()
		go func() { _ = w.try("n1", 1, "lost=1") }()
		w.within(6*time.Second, "another leads", func() bool {
			return slices.ContainsFunc([]string{"n2", "n3"}, func(n string) bool { _, ok := w.node(n).Term(1); return ok })
		})
		w.t.Log("followed after", time.Since(start))
		if took := time.Since(start); took > 1500*time.Millisecond {
			w.t.Errorf("it is followed after %v", took)
		}
		w.within(200*time.Millisecond, "a node with a hung disk takes no mail", func() bool {
			return !w.node("n1").Healthy() && errors.Is(w.node("n1").Accepting(1), cluster.ErrNotLeader)
		})
		w.put(1, "a=1")
		w.within(12*time.Second, "n1 gives up", func() bool { return w.fatal("n1") != nil })
		if lasted := time.Since(start); lasted < 9*time.Second {
			w.t.Errorf("n1 gave up after %v", lasted)
		}
		if _, ok := w.node("n1").Term(1); ok {
			w.t.Error("a node that gave up leads")
		}
	})
}

// A disk that is slow for a while costs the lead, not the node.
func TestDiskRecovers(t *testing.T) {
	inHangingWorld(t, func(w *world, disks map[string]*hanging) {
		disks["n1"].hang()
		go func() { _ = w.try("n1", 1, "unknown=1") }()
		w.within(6*time.Second, "another leads", func() bool {
			return slices.ContainsFunc([]string{"n2", "n3"}, func(n string) bool { _, ok := w.node(n).Term(1); return ok })
		})
		disks["n1"].resume()
		w.within(time.Second, "n1 is well", func() bool { return w.node("n1").Healthy() })
		w.put(1, "a=1")
		w.within(10*time.Second, "n1 has it", func() bool { _, ok := w.get("n1", 1, "a"); return ok })
		w.equal(1, w.names...)
		if err := w.fatal("n1"); err != nil {
			w.t.Error(err)
		}
	})
}

// A follower's hung disk disturbs nobody, and it has thirty seconds.
func TestFollowerWithHungDisk(t *testing.T) {
	inHangingWorld(t, func(w *world, disks map[string]*hanging) {
		name := "n3"
		if w.node("n1").ControlStatus().Leader == name {
			name = "n2" // who leads the control group is no follower
		}
		disks[name].hang()
		start := time.Now()
		for range 20 {
			if err := w.try("n1", 1, "a=1"); err != nil {
				w.t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if err := w.fatal(name); err != nil {
			w.t.Errorf("after %v: %v", time.Since(start), err)
		}
		w.within(15*time.Second, "it gives up", func() bool { return w.fatal(name) != nil })
	})
}

// A storage fail-over that stops the disks of a majority must not end them.
func TestMajorityOfHungDisks(t *testing.T) {
	inHangingWorld(t, func(w *world, disks map[string]*hanging) {
		disks["n1"].hang()
		disks["n2"].hang()
		go func() { _ = w.try("n1", 1, "unknown=1") }()
		time.Sleep(60 * time.Second)
		for _, name := range w.names {
			if err := w.fatal(name); err != nil {
				w.t.Errorf("%s: %v", name, err)
			}
		}
		disks["n1"].resume()
		disks["n2"].resume()
		w.put(1, "a=1")
		time.Sleep(5 * time.Second)
		w.equal(1, w.names...)
	})
}
