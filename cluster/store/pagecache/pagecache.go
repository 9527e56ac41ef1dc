// Package pagecache lets go of what a process has written and will hardly read.
package pagecache

import (
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// Forget is the file system, which lets go of a blob file's pages when the file is
// complete. The entries of a log in it are read again only by a replica that is
// far behind; left in the page cache they would push out what others need, and
// each new page costs the machine more than one that was just given back.
func Forget(fs vfs.FS) vfs.FS { return forgetting{fs} }

type forgetting struct{ vfs.FS }

// Create implements vfs.FS.
func (fs forgetting) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.Create(name, category)
	if err != nil || !strings.HasSuffix(name, ".blob") || f.Fd() == vfs.InvalidFd {
		return f, err
	}
	return forgotten{f}, nil
}

// forgotten is a file whose pages go when it is closed. Pebble has synced it
// by then; a page that is still dirty stays, and nothing is lost by it.
type forgotten struct{ vfs.File }

// Close implements vfs.File.
func (f forgotten) Close() error {
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	return f.File.Close()
}
