package papers

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// hanging is a file system that makes no file until it is let.
type hanging struct {
	vfs.FS
	came, let chan struct{}
}

func (h hanging) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	h.came <- struct{}{}
	<-h.let
	return h.FS.Create(name, c)
}

// Who asks what the node has does not wait for a disk that hangs, and is not
// told what is not durable.
func TestReadersDoNotWaitForTheDisk(t *testing.T) {
	mem := vfs.NewMem()
	opened(t, owner(mem))
	disk := hanging{mem, make(chan struct{}), make(chan struct{})}
	p := opened(t, owner(disk))
	set := make(chan error)
	go func() { set <- p.Set(Held, 1) }()
	<-disk.came
	if s := p.Stage(1); s != None {
		t.Errorf("%q before it is durable", s)
	}
	close(disk.let)
	if err := <-set; err != nil {
		t.Fatal(err)
	}
	if s := p.Stage(1); s != Held {
		t.Errorf("%q when it is durable", s)
	}
}
