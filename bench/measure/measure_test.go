package measure

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// What a grandchild used counts when it has ended, and Kill leaves nobody.
func TestGroupCountsDescendants(t *testing.T) {
	g := NewGroup("test")
	file := filepath.Join(t.TempDir(), "data")
	cmd := exec.Command("sh", "-c", `sh -c 'i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done; dd if=/dev/zero of="$0" bs=1M count=4 conv=fsync 2>/dev/null' "$0"; touch "$0.done"; sleep 60`, file)
	g.Wrap(cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return exists(file + ".done") })
	u, err := g.Usage()
	if err != nil {
		t.Fatal(err)
	}
	if u.CPU < 10*time.Millisecond || u.Processes == 0 || u.Memory == 0 {
		t.Errorf("usage %+v: the grandchild's time is missing", u)
	}
	if u.Written < 4<<20 {
		t.Logf("written %d: a file system without a disk", u.Written)
	}
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	<-done
	if g.dir != "" && exists(g.dir) {
		t.Errorf("%s is left", g.dir)
	}
}

// Without control groups the tree below what was started is the group.
func TestGroupWithoutControlGroup(t *testing.T) {
	g := &Group{name: "plain"}
	cmd := exec.Command("sh", "-c", "sleep 60 & sleep 60")
	g.Wrap(cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return len(g.PIDs()) == 3 })
	go func() { _ = cmd.Wait() }()
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestSelf(t *testing.T) {
	if _, err := readStat(os.Getpid()); err != nil {
		t.Fatal(err)
	}
}

func waitFor(t *testing.T, yes func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !yes(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not happen")
		}
	}
}
