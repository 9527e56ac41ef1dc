package pipe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sync/semaphore"

	"quorumta/delivery/transport"
	"quorumta/delivery/transport/local"
	"quorumta/delivery/transport/owner"
	"quorumta/internal/mail"
	"quorumta/internal/policy"
)

// Options say what is run. Zero means a default only where it is said.
type Options struct {
	// Command is the path of a program, Arguments are what it is given. Without it
	// they are what an alias names in the place of an address.
	Command   string
	Arguments []local.Template
	// Environment is set beside what every command has.
	Environment map[string]local.Template
	Owner       owner.Owner
	// Timeout is how long it may run; 1 h.
	Timeout time.Duration
	// Output is how much of what it prints is kept, octets; 4,000.
	Output int
	// Temporary are exit statuses that mean later; nil: those of sysexits.h from 71
	// (EX_OSERR) to 75 (EX_TEMPFAIL).
	Temporary []int
	// Processes is how many run at once; 10.
	Processes int
	// Spool is a folder for messages on their way; "" for the system's.
	Spool string
}

// Transport implements transport.Opener.
type Transport struct {
	o     Options
	slots *semaphore.Weighted
}

// New makes a Transport.
func New(o Options) *Transport {
	if o.Timeout == 0 {
		o.Timeout = time.Hour
	}
	if o.Output == 0 {
		o.Output = 4000
	}
	if o.Temporary == nil {
		o.Temporary = []int{71, 72, 73, 74, 75}
	}
	if o.Processes == 0 {
		o.Processes = 10
	}
	return &Transport{o: o, slots: semaphore.NewWeighted(int64(o.Processes))}
}

// Open implements transport.Opener: it waits until one more may run.
func (t *Transport) Open(ctx context.Context) (transport.Conn, error) {
	if err := t.slots.Acquire(ctx, 1); err != nil {
		return nil, &transport.Error{Err: err, Ours: true}
	}
	return &conn{t}, nil
}

// conn is the right to run a command.
type conn struct{ *Transport }

// Peer implements transport.Conn.
func (c *conn) Peer() transport.Peer {
	return transport.Peer{Host: c.o.Command, Delivers: true, Recipients: 1}
}

// Closed implements transport.Conn.
func (c *conn) Closed() bool { return false }

// Leave implements transport.Conn.
func (c *conn) Leave(context.Context) { c.slots.Release(1) }

// Send implements transport.Conn, for a message of one recipient.
func (c *conn) Send(ctx context.Context, m *transport.Message) (transport.Result, error) {
	res := transport.Result{Rcpts: make([]mail.Reply, 1), Finals: make([]mail.Reply, 1)}
	cmd, err := c.command(m)
	if err != nil {
		res.Finals[0] = mail.Reply{Code: 451, Enhanced: "4.3.5", Text: err.Error()}
		return res, nil
	}
	input, err := c.input(m)
	var e *transport.Error
	switch {
	case errors.As(err, &e):
		return res, err
	case err != nil:
		res.Finals[0] = mail.Reply{Code: 451, Enhanced: "4.3.1", Text: "the message cannot be made ready for the command: " + err.Error()}
		return res, nil
	}
	defer func() { _ = input.Close() }()
	said := &output{most: c.o.Output}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = input, said, said
	if err := m.Look(); err != nil {
		return res, err
	}
	if err := cmd.Start(); err != nil {
		res.Finals[0] = mail.Reply{Code: 451, Enhanced: "4.3.5", Text: fmt.Sprintf("cannot run the command as %s: %v", c.o.Owner, err)}
		return res, nil
	}
	res.Dot = true
	status, err := c.wait(ctx, cmd)
	if err != nil {
		return res, err
	}
	res.Finals[0] = c.verdict(status, said.String())
	return res, nil
}

// command is what is to be run for the recipient.
func (c *conn) command(m *transport.Message) (*exec.Cmd, error) {
	facts := m.Again.Facts(0)
	line, err := c.line(facts)
	if err != nil {
		return nil, err
	}
	cmd := &exec.Cmd{Path: line[0], Args: line, Dir: "/"}
	cmd.Env = environment(m, facts, c.o.Owner)
	for name, x := range c.o.Environment {
		value, err := x.Eval(facts, nil)
		if err != nil {
			return nil, err
		}
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: c.o.Owner.Credential()}
	cmd.WaitDelay = grace // who inherited the output does not keep us
	return cmd, nil
}

// line is the program's path and its arguments.
func (c *conn) line(f *policy.Facts) ([]string, error) {
	if c.o.Command == "" {
		return split(f.Data)
	}
	line := []string{c.o.Command}
	for _, a := range c.o.Arguments {
		value, err := a.Eval(f, nil)
		if err != nil {
			return nil, err
		}
		line = append(line, value)
	}
	return line, nil
}

// environment is what every command has, by the names of Exim's pipe transport.
// Nothing of the node's own is in it.
func environment(m *transport.Message, f *policy.Facts, o owner.Owner) []string {
	env := []string{
		"PATH=/usr/local/bin:/usr/bin:/bin", "SHELL=/bin/sh",
		"LOCAL_PART=" + f.Rcpt.Local, "DOMAIN=" + f.Rcpt.Domain, "RECIPIENT=" + f.Rcpt.String(),
		"SENDER=" + m.From.String(), "MESSAGE_ID=" + string(m.ID),
	}
	if o.Name != "" {
		env = append(env, "USER="+o.Name, "LOGNAME="+o.Name, "HOME="+o.Home())
	}
	return env
}

// input is the message in a file that has no name, synced nowhere: it is needed
// for as long as the command runs.
func (c *conn) input(m *transport.Message) (*os.File, error) {
	f, err := os.CreateTemp(c.o.Spool, "pipe")
	if err != nil {
		return nil, err
	}
	err = os.Remove(f.Name())
	if err == nil {
		_, _, err = local.Letter(f, m, 0, m.Content)
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// grace is how long a process group has to end when it was asked to.
const grace = 5 * time.Second

// wait waits for the command, and ends its process group when the time is over.
func (c *conn) wait(ctx context.Context, cmd *exec.Cmd) (*os.ProcessState, error) {
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	timer := time.NewTimer(c.o.Timeout)
	defer timer.Stop()
	var why error
	ours := false
	select {
	case <-ended:
		return cmd.ProcessState, nil
	case <-timer.C:
		why = fmt.Errorf("the command has not ended after %v and was killed", c.o.Timeout)
	case <-ctx.Done():
		why, ours = context.Cause(ctx), true
	}
	group := -cmd.Process.Pid
	_ = syscall.Kill(group, syscall.SIGTERM)
	last := time.AfterFunc(grace, func() { _ = syscall.Kill(group, syscall.SIGKILL) })
	<-ended
	last.Stop()
	_ = syscall.Kill(group, syscall.SIGKILL) // what it has left behind
	return nil, &transport.Error{Phase: transport.PhaseDot, Err: why, Ours: ours}
}
