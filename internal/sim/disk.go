package sim

import (
	"math/rand/v2"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Disk is the file system of one machine, in memory. It can hang, and it can
// lose power. Its methods are safe for concurrent use.
//
// A process that goes on although its machine has lost power keeps the old
// Disk to itself: what it writes there nobody will ever see.
type Disk struct {
	vfs.FS
	mem *vfs.MemFS

	mu    sync.Mutex
	waits chan struct{} // closed when it hangs no longer; nil while it does not
}

// NewDisk makes an empty disk.
func NewDisk() *Disk { return newDisk(vfs.NewCrashableMem()) }

func newDisk(mem *vfs.MemFS) *Disk { return &Disk{FS: mem, mem: mem} }

// PowerLoss is the disk as it is found when power is back: everything that was
// synced, and of the rest each block and each directory entry with the
// probability kept, in percent. With 100 it is what a process leaves behind
// that was killed.
func (d *Disk) PowerLoss(kept int, r *rand.Rand) *Disk {
	return newDisk(d.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: kept, RNG: r}))
}

// Hang keeps writes and syncs waiting until Resume. Reads and the directory go
// on, for a cache would serve them.
func (d *Disk) Hang() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.waits == nil {
		d.waits = make(chan struct{})
	}
}

// Resume ends Hang.
func (d *Disk) Resume() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.waits != nil {
		close(d.waits)
		d.waits = nil
	}
}

func (d *Disk) wait() {
	d.mu.Lock()
	waits := d.waits
	d.mu.Unlock()
	if waits != nil {
		<-waits
	}
}

func (d *Disk) wrap(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &diskFile{f, d}, nil
}

// Create implements vfs.FS.
func (d *Disk) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return d.wrap(d.mem.Create(name, c))
}

// OpenReadWrite implements vfs.FS.
func (d *Disk) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	return d.wrap(d.mem.OpenReadWrite(name, c, o...))
}

// ReuseForWrite implements vfs.FS.
func (d *Disk) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return d.wrap(d.mem.ReuseForWrite(from, to, c))
}

// diskFile is a file that is written.
type diskFile struct {
	vfs.File
	disk *Disk
}

// Write implements vfs.File.
func (f *diskFile) Write(p []byte) (int, error) {
	f.disk.wait()
	return f.File.Write(p)
}

// WriteAt implements vfs.File.
func (f *diskFile) WriteAt(p []byte, at int64) (int, error) {
	f.disk.wait()
	return f.File.WriteAt(p, at)
}

// Sync implements vfs.File.
func (f *diskFile) Sync() error {
	f.disk.wait()
	return f.File.Sync()
}

// SyncData implements vfs.File.
func (f *diskFile) SyncData() error {
	f.disk.wait()
	return f.File.SyncData()
}

// SyncTo implements vfs.File.
func (f *diskFile) SyncTo(n int64) (bool, error) {
	f.disk.wait()
	return f.File.SyncTo(n)
}
