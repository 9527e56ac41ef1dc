package main_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"quorumta/bench/load"
	"quorumta/bench/trial"
)

// disk is a file system of its own for one node, whose power can be cut:
// nothing that was not synced survives.
type disk struct {
	image, dir string
}

// newDisk makes and mounts it; the test is skipped where that is not possible.
func newDisk(t *testing.T, dir string) *disk {
	t.Helper()
	d := &disk{image: filepath.Join(t.TempDir(), "image"), dir: dir}
	f, err := os.Create(d.image)
	if err == nil {
		err = f.Truncate(2 << 30)
	}
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	d.must(t, "mkfs.ext4", "-q", "-E", "lazy_itable_init=1,lazy_journal_init=1", d.image)
	d.mount(t)
	t.Cleanup(func() { _ = exec.Command("umount", "-l", dir).Run() })
	return d
}

func (d *disk) mount(t *testing.T) {
	t.Helper()
	d.must(t, "mount", "-o", "loop", d.image, d.dir)
}

// cut is the moment the power fails: the file system takes no more, and what
// it holds back is lost.
func (d *disk) cut(t *testing.T) {
	t.Helper()
	d.must(t, "xfs_io", "-x", "-c", "shutdown", d.dir)
}

// restore mounts what is left, as a machine that comes up again does.
func (d *disk) restore(t *testing.T) {
	t.Helper()
	waitFor(t, "the file system to be free", func(context.Context) bool { return exec.Command("umount", d.dir).Run() == nil })
	d.mount(t)
}

func (d *disk) must(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v: %s", name, args, err, out)
	}
}

func TestPowerCutEverywhereLosesNothing(t *testing.T) {
	needProgram(t, "xfs_io", "xfsprogs")
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	if out, err := exec.Command("losetup", "-f").CombinedOutput(); err != nil {
		t.Skipf("no loop device: %s", out)
	}
	var disks []*disk
	var dir string
	tr := try(t, trial.Options{Nodes: 3, Edit: func(node string, config []byte) []byte {
		dir = filepath.Join(t.TempDir(), node)
		disks = append(disks, newDisk(t, dir))
		return []byte(replaceOnce(t, string(config), "data: data", "data: "+dir))
	}})
	loaded := make(chan load.Report, 1)
	l, err := tr.NewLoad(load.Options{Sessions: 20, Duration: 5 * time.Second, DotTimeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	go func() { loaded <- l.Run(t.Context()) }()
	waitFor(t, "load to flow", func(context.Context) bool { return l.Report().Acknowledged > 300 })
	for _, d := range disks {
		d.cut(t)
	}
	tr.Cluster.Kill()
	<-loaded
	for _, d := range disks {
		d.restore(t)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := tr.Cluster.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if v := judge(t, tr); !v.OK() || v.Acknowledged < 300 {
		t.Errorf("after the power was cut everywhere: %+v", v)
	}
}
