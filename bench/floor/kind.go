package floor

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"quorumta/bench/measure"
	"quorumta/bench/subject"
)

// Command is the name of the hidden command of this program that runs a Node.
const Command = "floor-node"

// Kind is the floor as a subject: three processes of this program. Held means
// that nothing leaves it.
func Kind(held bool) subject.Kind {
	return subject.Kind{Name: "floor", Durable: "synced on 2 of 3", New: func(p subject.Place) (subject.Subject, error) {
		f := &floor{place: p, held: held}
		for range members {
			for _, list := range []*[]string{&f.smtp, &f.links} {
				a, err := subject.FreeAddress()
				if err != nil {
					return nil, err
				}
				*list = append(*list, a)
			}
		}
		return f, nil
	}}
}

const members = 3

// floor is the three processes.
type floor struct {
	place       subject.Place
	held        bool
	smtp, links []string // addresses
	groups      []*measure.Group
	cmds        []*exec.Cmd
}

func (f *floor) Start(ctx context.Context) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	for i := range members {
		others := append(append([]string(nil), f.links[:i]...), f.links[i+1:]...)
		args := []string{Command, "--smtp", f.smtp[i], "--link", f.links[i], "--others", strings.Join(others, ","),
			"--log", filepath.Join(f.place.Dir, "log"+string(rune('1'+i)))}
		if !f.held {
			args = append(args, "--hop", f.place.Hop)
		}
		cmd := exec.Command(program, args...)
		cmd.Stderr = os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		g := measure.NewGroup("floor" + string(rune('1'+i)))
		g.Wrap(cmd)
		f.groups = append(f.groups, g)
		if err := cmd.Start(); err != nil {
			return err
		}
		f.cmds = append(f.cmds, cmd)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for _, a := range f.smtp {
		if err := subject.WaitBanner(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

func (f *floor) Stop() error {
	var errs []error
	for _, g := range f.groups {
		errs = append(errs, g.Kill())
	}
	for _, cmd := range f.cmds {
		_ = cmd.Wait() // it was killed
	}
	for _, g := range f.groups {
		errs = append(errs, g.Close())
	}
	f.groups, f.cmds = nil, nil
	return errors.Join(errs...)
}

func (f *floor) Addresses() []string { return f.smtp }

func (f *floor) Groups() []*measure.Group { return f.groups }
