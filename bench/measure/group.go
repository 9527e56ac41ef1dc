package measure

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Group is a set of processes and all their descendants, accounted together.
// It is a control group where the kernel lets us make one: then processes that
// have ended count too, whoever waited for them. Else it is the living tree
// below what was started, with what each has waited for.
type Group struct {
	name string
	// dir is the control group; "" where there is none.
	dir string
	// unified: dir is one of version 2, which knows how to kill itself.
	unified bool

	mu   sync.Mutex
	cmds []*exec.Cmd // what Wrap was given
}

// roots are where control groups with processor accounts are found: version 1,
// then version 2.
var roots = []string{"/sys/fs/cgroup/cpuacct", "/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup"}

// NewGroup makes an empty group; its name is for people.
func NewGroup(name string) *Group {
	g := &Group{name: name}
	for _, root := range roots {
		unified := exists(filepath.Join(root, "cgroup.controllers"))
		if !unified && !exists(filepath.Join(root, "cpuacct.usage")) {
			continue
		}
		dir, err := os.MkdirTemp(root, "bench-"+name+"-")
		if err != nil {
			continue
		}
		if unified || exists(filepath.Join(dir, "cpuacct.usage")) {
			g.dir, g.unified = dir, unified
			return g
		}
		_ = os.Remove(dir)
	}
	return g
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// Name is what the group was called.
func (g *Group) Name() string { return g.name }

// Wrap changes a command that was not started yet so that it runs in the group
// from its first instruction.
func (g *Group) Wrap(cmd *exec.Cmd) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.cmds = append(g.cmds, cmd)
	if g.dir == "" {
		return
	}
	procs := filepath.Join(g.dir, "cgroup.procs")
	args := append([]string{"sh", "-c", `echo $$ > "$0" && exec "$@"`, procs, cmd.Path}, cmd.Args[1:]...)
	cmd.Path, cmd.Args = "/bin/sh", args
}

// PIDs are the group's living processes.
func (g *Group) PIDs() []int {
	if g.dir == "" {
		return g.tree()
	}
	text, err := os.ReadFile(filepath.Join(g.dir, "cgroup.procs"))
	if err != nil {
		return nil
	}
	var pids []int
	for field := range strings.FieldsSeq(string(text)) {
		if pid, err := strconv.Atoi(field); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// tree are the living processes below what was started.
func (g *Group) tree() []int {
	g.mu.Lock()
	var pids []int
	for _, cmd := range g.cmds {
		if cmd.Process != nil && exists(procFile(cmd.Process.Pid, "stat")) {
			pids = append(pids, cmd.Process.Pid)
		}
	}
	g.mu.Unlock()
	children := map[int][]int{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if s, err := readStat(pid); err == nil {
			children[s.parent] = append(children[s.parent], pid)
		}
	}
	for i := 0; i < len(pids); i++ {
		for _, child := range children[pids[i]] {
			if !slices.Contains(pids, child) {
				pids = append(pids, child)
			}
		}
	}
	return pids
}

// killPatience is how long processes may take to die of SIGKILL: one that is
// in a sync of much on a slow disk takes a while.
const killPatience = time.Minute

// Kill ends every process of the group and returns when all are gone.
func (g *Group) Kill() error {
	deadline := time.Now().Add(killPatience)
	for {
		pids := g.PIDs()
		if len(pids) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d processes of %s survive SIGKILL", len(pids), g.name)
		}
		if g.unified {
			_ = os.WriteFile(filepath.Join(g.dir, "cgroup.kill"), []byte("1"), 0)
		}
		for _, pid := range pids {
			// One that is gone already is what we want.
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// Close kills what is left and removes the group.
func (g *Group) Close() error {
	err := g.Kill()
	if g.dir == "" || err != nil {
		return err
	}
	deadline := time.Now().Add(killPatience)
	for {
		// It is busy for a moment more after the last process has gone.
		err := os.Remove(g.dir)
		if !errors.Is(err, syscall.EBUSY) || time.Now().After(deadline) {
			return err
		}
		time.Sleep(5 * time.Millisecond)
	}
}
