package measure

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Usage is what a group has used up so far, and what it holds now.
type Usage struct {
	// CPU is processor time, of the kernel on its behalf too.
	CPU time.Duration
	// Written is what was handed to block devices, bytes. Of a process that
	// has ended it counts only what its parent in the group waited for.
	Written int64
	// Memory is the anonymous memory of the living processes, bytes, and
	// Processes their number.
	Memory    int64
	Processes int
}

// Since is what was used between an earlier reading and this one; memory and
// processes are those of now.
func (u Usage) Since(before Usage) Usage {
	u.CPU -= before.CPU
	u.Written -= before.Written
	return u
}

// Plus is the sum of two groups' usage.
func (u Usage) Plus(v Usage) Usage {
	return Usage{CPU: u.CPU + v.CPU, Written: u.Written + v.Written, Memory: u.Memory + v.Memory,
		Processes: u.Processes + v.Processes}
}

// Usage reads the group's accounts.
func (g *Group) Usage() (Usage, error) {
	var u Usage
	for _, pid := range g.PIDs() {
		// Processes end while we look: what cannot be read is gone.
		if s, err := readStat(pid); err == nil && g.dir == "" {
			u.CPU += s.cpu
		}
		u.Written += ioField(pid, "write_bytes")
		u.Memory += anonymous(pid)
		u.Processes++
	}
	if g.dir == "" {
		return u, nil
	}
	cpu, err := g.account()
	u.CPU = cpu
	return u, err
}

// account is the control group's processor time.
func (g *Group) account() (time.Duration, error) {
	if !g.unified {
		text, err := os.ReadFile(filepath.Join(g.dir, "cpuacct.usage"))
		if err != nil {
			return 0, err
		}
		ns, err := strconv.ParseInt(string(bytes.TrimSpace(text)), 10, 64)
		return time.Duration(ns), err
	}
	text, err := os.ReadFile(filepath.Join(g.dir, "cpu.stat"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, "usage_usec "); ok {
			us, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
			return time.Duration(us) * time.Microsecond, err
		}
	}
	return 0, fmt.Errorf("no usage_usec in the control group of %s", g.name)
}

// Self is what this program itself has used: the load and the sink that run in
// it.
func Self() time.Duration {
	s, err := readStat(os.Getpid())
	if err != nil {
		return 0
	}
	return s.cpu
}

// stat is what we want of /proc/PID/stat: the parent, and the processor time
// with that of children waited for.
type stat struct {
	parent int
	cpu    time.Duration
}

// tick is USER_HZ, 100 on every Linux that Go runs on.
const tick = 10 * time.Millisecond

var errShortStat = errors.New("/proc/PID/stat is too short")

func readStat(pid int) (stat, error) {
	text, err := os.ReadFile(procFile(pid, "stat"))
	if err != nil {
		return stat{}, err
	}
	// The name in parentheses may hold anything: count from the last one.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 15 {
		return stat{}, errShortStat
	}
	var s stat
	s.parent, _ = strconv.Atoi(fields[1])
	for _, f := range fields[11:15] { // utime stime cutime cstime
		n, _ := strconv.ParseInt(f, 10, 64)
		s.cpu += time.Duration(n) * tick
	}
	return s, nil
}

func procFile(pid int, name string) string { return "/proc/" + strconv.Itoa(pid) + "/" + name }

// ioField is a line of /proc/PID/io; 0 where it cannot be read.
func ioField(pid int, name string) int64 { return field(procFile(pid, "io"), name) }

// anonymous is a process's anonymous memory, bytes.
func anonymous(pid int) int64 { return field(procFile(pid, "status"), "RssAnon") << 10 }

func field(path, name string) int64 {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, name+":"); ok {
			n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(v), " kB"), 10, 64)
			return n
		}
	}
	return 0
}
