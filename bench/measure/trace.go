package measure

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Syncs are the system calls that put one message on stable storage.
type Syncs struct {
	// Before are those that had returned when the server answered its final
	// dot, counted from the server's 354; All are those of the whole trace.
	Before int `json:"before_250"`
	All    int `json:"all"`
}

// syncCalls make a file's content durable.
const syncCalls = "fsync,fdatasync,sync_file_range,syncfs,sync,msync"

// TraceSyncs attaches strace to the groups' processes, calls send, which sends
// one message, and says which syncs that took. It fails where strace is not
// installed or may not attach.
func TraceSyncs(ctx context.Context, groups []*Group, send func() error) (s Syncs, err error) {
	file, err := os.CreateTemp("", "syncs-")
	if err != nil {
		return s, err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	args := []string{"-f", "-q", "-s", "256", "-o", file.Name(), "-e", "signal=none",
		"-e", "trace=" + syncCalls + ",write,writev,sendto,sendmsg"}
	for _, g := range groups {
		for _, pid := range g.PIDs() {
			args = append(args, "-p", strconv.Itoa(pid))
		}
	}
	cmd := exec.CommandContext(ctx, "strace", args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = 5 * time.Second
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	if err := cmd.Start(); err != nil {
		return s, fmt.Errorf("strace: %w: install the package strace", err)
	}
	err = waitTraced(ctx, cmd.Process.Pid, groups)
	if err == nil {
		err = send()
	}
	_ = cmd.Process.Signal(syscall.SIGINT) // detaches
	_ = cmd.Wait()
	if err != nil {
		return s, fmt.Errorf("trace syncs: %w: %s", err, bytes.TrimSpace(complaints.Bytes()))
	}
	return readSyncs(file)
}

// waitTraced returns when every process is traced.
func waitTraced(ctx context.Context, tracer int, groups []*Group) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		if allTraced(tracer, groups) {
			return nil
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return errors.New("strace does not attach: is ptrace forbidden here?")
		}
	}
}

func allTraced(tracer int, groups []*Group) bool {
	for _, g := range groups {
		for _, pid := range g.PIDs() {
			if by := field(procFile(pid, "status"), "TracerPid"); by != int64(tracer) && exists(procFile(pid, "stat")) {
				return false
			}
		}
	}
	return true
}

// readSyncs reads what strace wrote. A call that another thread's interrupts
// stands on two lines, "fsync(7 <unfinished ...>" and "<... fsync resumed>";
// it is counted where it ends.
func readSyncs(r io.Reader) (Syncs, error) {
	var s Syncs
	var asked, answered bool // 354 was said, and the dot answered
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		_, line, _ := strings.Cut(lines.Text(), " ") // the thread
		call, rest, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "<... "), "(")
		call, _, _ = strings.Cut(call, " ")
		switch {
		case slices.Contains(strings.Split(syncCalls, ","), call):
			if strings.Contains(line, "<unfinished") {
				continue
			}
			s.All++
			if asked && !answered {
				s.Before++
			}
		case strings.Contains(rest, `"354`) || strings.Contains(rest, `\n354`): // pipelined: after other replies
			asked = true
		case strings.Contains(rest, `"250`) && asked:
			answered = true
		}
	}
	if err := lines.Err(); err != nil {
		return s, fmt.Errorf("read the trace: %w", err)
	}
	return s, nil
}
