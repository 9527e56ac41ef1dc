package peers

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// room is a private view of the machine: /usr, /etc and /var are layers over
// the machine's own, and /run is empty. What is installed there is kept in dir.
type room struct {
	dir string
	// binds are folders or files that appear elsewhere in the room: what, where.
	binds []string
}

//go:embed config/room.sh
var roomScript string

//go:embed config/install.sh
var installScript string

// installed marks a room whose packages are complete.
const installed = "installed"

// openRoom opens the room dir and installs packages in it if that was not done
// before. It wants root and Debian.
func openRoom(ctx context.Context, dir string, install string, packages ...string) (*room, error) {
	for _, top := range []string{"/usr/", "/etc/", "/var/", "/run/"} {
		if strings.HasPrefix(dir, top) {
			return nil, fmt.Errorf("%s is under %s, which the rooms are layers over: put --rooms elsewhere", dir, top)
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	r := &room{dir: dir}
	mark := filepath.Join(dir, installed)
	if _, err := os.Stat(mark); err == nil {
		return r, nil
	}
	cmd := r.command(append([]string{"sh", "-c", install, "install"}, packages...)...)
	log := filepath.Join(dir, "install.txt")
	out, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	stop := context.AfterFunc(ctx, func() {
		if cmd.Process != nil {
			_ = cmd.Process.Kill()
		}
	})
	defer stop()
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("install %s: %w: see %s", strings.Join(packages, " "), err, log)
	}
	return r, os.WriteFile(mark, nil, 0o644)
}

// bind makes what appear at where in the room.
func (r *room) bind(what, where string) *room {
	return &room{dir: r.dir, binds: append(r.binds[:len(r.binds):len(r.binds)], what, where)}
}

// command is a command that runs in the room.
func (r *room) command(args ...string) *exec.Cmd {
	all := append([]string{"--mount", "--propagation", "private", "sh", "-c", roomScript, "room", r.dir}, r.binds...)
	return exec.Command("unshare", append(append(all, "--"), args...)...)
}

// prepare runs a script in the room, with $1 … its arguments.
func (r *room) prepare(script string, args ...string) error {
	out, err := r.command(append([]string{"sh", "-ec", script, "prepare"}, args...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("prepare: %w: %s", err, out)
	}
	return nil
}
