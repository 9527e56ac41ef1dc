package sim_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Each schedule is played in a process of its own: what the machines that it
// killed have left in memory goes with it, and a schedule whose time stands
// still can be told from one that is slow.
var inside = flag.Bool("inside", false, "play the schedule in this process")

// stills is how often a schedule may stand still before it fails.
const stills = 3

// alone plays a schedule in a process of its own, and again where its time stood
// still through no fault of ours.
func alone(t *testing.T, seed uint64) {
	for n := 1; ; n++ {
		out, still, err := apart(t, seed)
		switch {
		case still && n < stills && pebbleWaits(out):
			t.Log("time stood still: a disk hung while Pebble changed its WAL; played again")
			continue
		case err != nil:
			t.Errorf("%v (played %d times)\n%s", err, n, out)
		}
		return
	}
}

// apart plays a schedule in a process of its own. still: the process did
// nothing any more, and out has its goroutines.
func apart(t *testing.T, seed uint64) (out string, still bool, err error) {
	t.Helper()
	var text bytes.Buffer
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSchedules$", "-test.timeout=0", "-inside",
		fmt.Sprint("-seed=", seed), "-seeds=1", fmt.Sprint("-lasting=", *lasting), "-simlog="+*logTo)
	cmd.Stdout, cmd.Stderr = &text, &text
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	const patience = 30 * time.Second
	look := time.NewTicker(patience)
	defer look.Stop()
	used := cpuOf(cmd.Process.Pid)
	for {
		select {
		case err := <-ended:
			return text.String(), still, err
		case <-look.C:
			now := cpuOf(cmd.Process.Pid)
			if now == used && now != "" && !still {
				still = true
				_ = cmd.Process.Signal(syscall.SIGQUIT) // it tells where it waits, and ends
			}
			used = now
		}
	}
}

// pebblesLock finds that Pebble itself has called Lock.
var pebblesLock = regexp.MustCompile(`\n\s*sync\.\(\*Mutex\)\.Lock\(.*\n.*\n\s*github\.com/cockroachdb/pebble/v2`)

// cpuOf is the CPU time that a process has used, in words; "" where that is not
// known. It stands still, but for a tick, only when nothing runs.
func cpuOf(pid int) string {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 13 {
		return ""
	}
	return fields[11] + " " + fields[12] // utime and stime
}

// pebbleWaits reports whether locks of Pebble's alone are held, over a disk that
// hangs. Virtual time goes on only when all goroutines wait for something that
// the simulation knows, and a mutex is none: that is the price of a real Pebble.
func pebbleWaits(goroutines string) bool {
	for g := range strings.SplitSeq(goroutines, "\n\n") {
		head, _, _ := strings.Cut(g, "\n")
		if strings.Contains(head, "sync.Mutex.Lock") && !pebblesLock.MatchString(g) {
			return false
		}
	}
	return strings.Contains(goroutines, "sim.(*Disk).wait")
}
