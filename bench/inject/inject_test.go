package inject

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// need skips where something is missing, and fails where it must not be.
func need(t *testing.T, missing error) {
	t.Helper()
	if missing == nil {
		return
	}
	if os.Getenv("CI") == "true" && os.Geteuid() == 0 {
		t.Fatal(missing)
	}
	t.Skip(missing)
}

func newDisk(t *testing.T) *Disk {
	t.Helper()
	need(t, DisksAvailable())
	dir := t.TempDir()
	d, err := NewDisk(t.Context(), filepath.Join(dir, "image"), filepath.Join(dir, "disk"), 64<<20)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// write writes a file, synced or not.
func write(d *Disk, name string, sync bool) error {
	f, err := os.Create(filepath.Join(d.Dir, name))
	if err != nil {
		return err
	}
	_, err = f.WriteString("text")
	if sync {
		err = errors.Join(err, f.Sync())
	}
	return errors.Join(err, f.Close())
}

func TestWhatWasSyncedSurvivesAFailedDisk(t *testing.T) {
	d := newDisk(t)
	if err := errors.Join(write(d, "synced", true), write(d, "not", false), d.Fail()); err != nil {
		t.Fatal(err)
	}
	if err := write(d, "later", true); err == nil {
		t.Error("written to a disk that has failed")
	}
	if err := d.Remount(t.Context()); err != nil {
		t.Fatal(err)
	}
	text, _ := os.ReadFile(filepath.Join(d.Dir, "synced"))
	if string(text) != "text" {
		t.Errorf("what was synced is now %q", text)
	}
	if _, err := os.Stat(filepath.Join(d.Dir, "not")); err == nil {
		t.Error("what was not synced is there")
	}
}

func TestADiskComesBackThoughANamespaceKeepsIt(t *testing.T) {
	d := newDisk(t)
	keeper := exec.Command("unshare", "--mount", "cat")
	in, err := keeper.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := keeper.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := keeper.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = errors.Join(in.Close(), keeper.Wait()) })
	if _, err := in.Write([]byte{'x'}); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil { // it is in its namespace now
		t.Fatal(err)
	}
	if err := errors.Join(write(d, "synced", true), d.Fail(), d.Remount(t.Context())); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(d.Dir, "synced"))
	if string(text) != "text" {
		t.Errorf("what was synced is now %q: %v", text, err)
	}
}

func TestAFullDiskHasNoRoom(t *testing.T) {
	d := newDisk(t)
	if err := d.Fill(0); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(d.Dir, "x"), make([]byte, 1<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("writing to a full disk: %v", err)
	}
	if err := errors.Join(d.Empty(), d.Empty()); err != nil {
		t.Fatal(err)
	}
	if err := write(d, "y", true); err != nil {
		t.Error(err)
	}
}

func TestAFrozenDiskHangs(t *testing.T) {
	d := newDisk(t)
	if err := d.Freeze(); err != nil {
		t.Fatal(err)
	}
	written := make(chan error, 1)
	go func() { written <- write(d, "x", true) }()
	select {
	case err := <-written:
		t.Errorf("written to a frozen disk: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	if err := d.Thaw(); err != nil {
		t.Fatal(err)
	}
	if err := <-written; err != nil {
		t.Error(err)
	}
}

func TestASlowDiskIsSlow(t *testing.T) {
	d := newDisk(t)
	need(t, ThrottleAvailable())
	took := func() time.Duration {
		from := time.Now()
		for range 5 {
			if err := write(d, "x", true); err != nil {
				t.Fatal(err)
			}
		}
		return time.Since(from)
	}
	took() // the first writes make the file system's own
	if err := d.Slow(20); err != nil {
		t.Fatal(err)
	}
	if slow := took(); slow < 300*time.Millisecond {
		t.Errorf("five syncs at 20 writes a second took %v", slow)
	}
	if err := d.Quick(); err != nil {
		t.Fatal(err)
	}
}

// The test's own binary tells the time when it is asked to.
func TestMain(m *testing.M) {
	if os.Getenv("TELL_TIME") == "" {
		os.Exit(m.Run())
	}
	in := bufio.NewScanner(os.Stdin)
	started := time.Now()
	for in.Scan() {
		fmt.Println(time.Now().Unix(), int64(time.Since(started).Seconds()))
	}
}

func TestSetClockMovesTheWallClockAlone(t *testing.T) {
	need(t, ClocksAvailable())
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "TELL_TIME=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	ask := func() (ahead, since int64) {
		t.Helper()
		fmt.Fprintln(in)
		if !lines.Scan() {
			t.Fatal("the process tells no time")
		}
		var wall int64
		fmt.Sscan(lines.Text(), &wall, &since)
		return wall - time.Now().Unix(), since
	}
	ask()
	for _, offset := range []int64{6 * 86400, -86400, 0} {
		if err := SetClock(cmd.Process.Pid, time.Duration(offset)*time.Second); err != nil {
			t.Fatal(err)
		}
		ahead, since := ask()
		if ahead < offset-2 || ahead > offset+2 || since > 60 {
			t.Errorf("moved by %d: it is %d s ahead after %d s", offset, ahead, since)
		}
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if err := SetClock(cmd.Process.Pid, 0); err == nil {
		t.Error("set the clock of process " + strconv.Itoa(cmd.Process.Pid) + ", which is gone")
	}
}

func TestNamesLeadToTheHostUntilTheyAreLost(t *testing.T) {
	host := netip.MustParseAddr("10.1.2.3")
	n, err := ServeNames("127.0.0.1:0", host)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	server := n.server.PacketConn.LocalAddr().String()
	ask := func(name string, kind uint16) (*dns.Msg, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		return dns.ExchangeContext(ctx, new(dns.Msg).SetQuestion(name, kind), server)
	}
	mx, err := ask("sink.example.", dns.TypeMX)
	if err != nil || len(mx.Answer) != 1 {
		t.Fatalf("%v, %v", mx, err)
	}
	a, err := ask(mx.Answer[0].(*dns.MX).Mx, dns.TypeA)
	if err != nil || len(a.Answer) != 1 || !a.Answer[0].(*dns.A).A.Equal(host.AsSlice()) {
		t.Errorf("%v, %v", a, err)
	}
	none, err := ask("mx.sink.example.", dns.TypeAAAA)
	if err != nil || len(none.Answer) != 0 || none.Rcode != dns.RcodeSuccess {
		t.Errorf("%v, %v", none, err)
	}
	n.Lose()
	if m, err := ask("sink.example.", dns.TypeMX); err == nil {
		t.Errorf("lost, it answers %v", m)
	}
	n.Find()
	if _, err := ask("sink.example.", dns.TypeMX); err != nil {
		t.Error(err)
	}
}
