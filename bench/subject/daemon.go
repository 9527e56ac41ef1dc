package subject

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"quorumta/bench/measure"
)

// Daemon is a relay that is one command in the foreground.
type Daemon struct {
	// Name is its own, Dir where its output goes, Address where it takes mail.
	Name    string
	Dir     string
	Address string
	// Command makes the command that runs it; it is called for every Start.
	Command func() *exec.Cmd

	group *measure.Group
	ended chan struct{}
}

// Start implements Subject.
func (d *Daemon) Start(ctx context.Context) error {
	output := filepath.Join(d.Dir, "output.txt")
	log, err := os.OpenFile(output, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close() // the process has its own
	d.group = measure.NewGroup(d.Name)
	cmd := d.Command()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setsid: true}
	d.group.Wrap(cmd)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", d.Name, err)
	}
	d.ended = make(chan struct{})
	waiting, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	go func(ended chan struct{}) {
		_ = cmd.Wait() // how it ended stands in its output
		close(ended)
		cancel()
	}(d.ended)
	if err := WaitBanner(waiting, d.Address); err != nil {
		text, _ := os.ReadFile(output)
		return fmt.Errorf("%s: %w: %s", d.Name, err, text[max(0, len(text)-2000):])
	}
	return nil
}

// Stop implements Subject.
func (d *Daemon) Stop() error {
	if d.group == nil {
		return nil
	}
	err := d.group.Close()
	if d.ended != nil {
		<-d.ended
	}
	d.group, d.ended = nil, nil
	return err
}

// Addresses implements Subject.
func (d *Daemon) Addresses() []string { return []string{d.Address} }

// Groups implements Subject.
func (d *Daemon) Groups() []*measure.Group {
	if d.group == nil {
		return nil
	}
	return []*measure.Group{d.group}
}
