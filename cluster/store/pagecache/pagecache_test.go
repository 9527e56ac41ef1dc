package pagecache

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"unsafe"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// A blob file of the log leaves the page cache when it is complete, and reads
// back as it was written.
func TestBlobFilesLeaveThePageCache(t *testing.T) {
	dir := t.TempDir()
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil || fs.Type == unix.TMPFS_MAGIC {
		t.Skipf("pages of %s cannot be let go of: file system type %#x, err %v", dir, fs.Type, err)
	}
	for name, want := range map[string]bool{"000001.blob": false, "000002.sst": true} {
		path := filepath.Join(dir, name)
		content := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
		f, err := Forget(vfs.Default).Create(path, vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(bytes.Clone(content)); err != nil {
			t.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if got := resident(t, path) > 0; got != want {
			t.Errorf("%s: in the page cache after it was closed: %t, want %t", name, got, want)
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s does not read back as written: %v", name, err)
		}
	}
}

// resident is how many pages of the file are in memory.
func resident(t *testing.T, path string) (pages int) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	m, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Munmap(m) }()
	in := make([]byte, (len(m)+os.Getpagesize()-1)/os.Getpagesize())
	if err := mincore(m, in); err != nil {
		t.Fatal(err)
	}
	for _, p := range in {
		pages += int(p & 1)
	}
	return pages
}

// mincore is mincore(2), which package unix does not have.
func mincore(m, in []byte) error {
	if _, _, e := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&m[0])), uintptr(len(m)), uintptr(unsafe.Pointer(&in[0]))); e != 0 {
		return e
	}
	return nil
}
