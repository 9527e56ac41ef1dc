package proc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Node is one process of a cluster, running or not.
type Node struct {
	Name    string
	Config  string
	Cluster string // between nodes
	SMTP    string
	Admin   string
	Metrics string
	// LogFile gets the standard error of all its runs.
	LogFile string

	binary string
	env    []string
	launch func(node string, cmd *exec.Cmd) error // nil: cmd.Start

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{} // closed when cmd has ended
	err  error         // how it ended
}

// Start starts the process; it must not run.
func (n *Node) Start() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.runningLocked() {
		return fmt.Errorf("node %s runs already", n.Name)
	}
	log, err := os.OpenFile(n.LogFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("open the log of %s: %w", n.Name, err)
	}
	cmd := exec.Command(n.binary, "serve", "--config", n.Config)
	cmd.Stderr, cmd.Stdout = log, log
	cmd.Env = append(os.Environ(), n.env...)
	// A cluster does not outlive the program that measures it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	start := cmd.Start
	if n.launch != nil {
		start = func() error { return n.launch(n.Name, cmd) }
	}
	if err := start(); err != nil {
		_ = log.Close()
		return fmt.Errorf("start %s: %w", n.Name, err)
	}
	done := make(chan struct{})
	n.cmd, n.done = cmd, done
	go func() {
		err := cmd.Wait()
		_ = log.Close()
		n.mu.Lock()
		n.err = err
		n.mu.Unlock()
		close(done)
	}()
	return nil
}

// Running reports whether the process lives, stopped or not.
func (n *Node) Running() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.runningLocked()
}

func (n *Node) runningLocked() bool {
	if n.done == nil {
		return false
	}
	select {
	case <-n.done:
		return false
	default:
		return true
	}
}

// PID is the process's id; 0 if it does not run.
func (n *Node) PID() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.runningLocked() {
		return 0
	}
	return n.cmd.Process.Pid
}

// Kill ends the process with SIGKILL and returns when it is gone.
func (n *Node) Kill() {
	// One that cannot be signalled is about to be gone.
	_ = n.Signal(syscall.SIGKILL)
	<-n.ended()
}

// Signal sends a signal to the process.
func (n *Node) Signal(s os.Signal) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.runningLocked() {
		return fmt.Errorf("node %s does not run", n.Name)
	}
	return n.cmd.Process.Signal(s)
}

// Stop sends SIGTERM and returns how the process ended: nil for status 0.
func (n *Node) Stop(ctx context.Context) error {
	n.signalTerm()
	return n.wait(ctx)
}

func (n *Node) signalTerm() { _ = n.Signal(syscall.SIGTERM) }

func (n *Node) wait(ctx context.Context) error {
	select {
	case <-n.ended():
		n.mu.Lock()
		defer n.mu.Unlock()
		return n.err
	case <-ctx.Done():
		return fmt.Errorf("node %s does not end: %w", n.Name, ctx.Err())
	}
}

func (n *Node) ended() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.done == nil {
		never := make(chan struct{})
		close(never)
		return never
	}
	return n.done
}

// WaitReady returns when /readyz says yes, or when the process or ctx ends.
func (n *Node) WaitReady(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if n.ready(ctx) {
			return nil
		}
		select {
		case <-tick.C:
		case <-n.ended():
			return fmt.Errorf("node %s ended while starting: see %s", n.Name, n.LogFile)
		case <-ctx.Done():
			return fmt.Errorf("node %s is not ready: %w: see %s", n.Name, ctx.Err(), n.LogFile)
		}
	}
}

func (n *Node) ready(ctx context.Context) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.Metrics+"/readyz", nil)
	if err != nil {
		return false
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	_ = res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// Memory is the process's resident memory now and at its peak, bytes.
func (n *Node) Memory() (now, peak int64, err error) {
	pid := n.PID()
	if pid == 0 {
		return 0, 0, fmt.Errorf("node %s does not run", n.Name)
	}
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			now = kilobytes(v)
		}
		if v, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			peak = kilobytes(v)
		}
	}
	if peak == 0 {
		return 0, 0, errors.New("no VmHWM in /proc/PID/status")
	}
	return now, peak, nil
}

// CPU is the processor time the process has used so far.
func (n *Node) CPU() (time.Duration, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(n.PID()) + "/stat")
	if err != nil {
		return 0, err
	}
	// The name in parentheses may hold anything: count from the last one.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 13 {
		return 0, errors.New("/proc/PID/stat is too short")
	}
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every Linux that Go runs on
	return time.Duration(user+system) * tick, nil
}

func kilobytes(s string) int64 {
	k, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(s), " kB"), 10, 64)
	return k << 10
}
