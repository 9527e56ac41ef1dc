package maildir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"quorumta/delivery/transport"
	"quorumta/delivery/transport/local"
	"quorumta/delivery/transport/owner"
	"quorumta/internal/mail"
	"quorumta/internal/policy"
)

// Options say where mailboxes are. Hostname is needed.
type Options struct {
	// Path is a recipient's Maildir; nil: the file that an alias names in the place
	// of an address. It and folders above it are made where they are missing, for
	// the owner alone.
	Path *policy.Text
	// Owner owns the mailboxes.
	Owner owner.Owner
	// Quota bounds each mailbox; the zero Quota does not.
	Quota Quota
	// Hostname is this machine's: names of messages hold it.
	Hostname string
	// Now is the wall clock; nil means time.Now.
	Now func() time.Time
}

// Transport implements transport.Opener.
type Transport struct {
	o Options
	// count tells apart the deliveries of one process.
	count atomic.Uint64
}

// New makes a Transport.
func New(o Options) *Transport {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Transport{o: o}
}

// Open implements transport.Opener.
func (t *Transport) Open(context.Context) (transport.Conn, error) { return (*conn)(t), nil }

// conn is the transport itself: it has no session.
type conn Transport

// Peer implements transport.Conn.
func (c *conn) Peer() transport.Peer { return transport.Peer{Delivers: true} }

// Closed implements transport.Conn.
func (c *conn) Closed() bool { return false }

// Leave implements transport.Conn.
func (c *conn) Leave(context.Context) {}

// letter is a message on its way into one Maildir.
type letter struct {
	box string
	// name is that in tmp; size and virtual count its octets with LF and with
	// CRLF for line ends.
	name          string
	size, virtual int64
}

// Send implements transport.Conn.
func (c *conn) Send(ctx context.Context, m *transport.Message) (transport.Result, error) {
	n := len(m.Recipients)
	res := transport.Result{Rcpts: make([]mail.Reply, n), Finals: make([]mail.Reply, n)}
	letters := make([]letter, n)
	defer c.tidy(letters)
	written := 0
	for i := range m.Recipients {
		fault, err := c.write(ctx, m, i, &letters[i])
		switch {
		case err != nil:
			return unsaid(res), err
		case fault != nil:
			res.Finals[i] = reply(fault)
		default:
			written++
		}
	}
	if written == 0 {
		return res, nil
	}
	if err := m.Look(); err != nil {
		return unsaid(res), err
	}
	res.Dot = true
	var unknown error
	for i := range letters {
		if letters[i].name == "" {
			continue
		}
		linked, err := c.link(&letters[i])
		switch {
		case err == nil:
			res.Finals[i] = mail.Reply{Code: 250, Enhanced: "2.0.0", Text: "delivered into " + letters[i].box}
		case linked:
			unknown = err
		default:
			res.Finals[i] = reply(err)
		}
	}
	if unknown != nil {
		return res, &transport.Error{Phase: transport.PhaseDot, Err: unknown}
	}
	return res, nil
}

// unsaid is a result of which nothing counts: the whole is to be done again.
func unsaid(res transport.Result) transport.Result {
	clear(res.Finals)
	return res
}

// write puts the message into tmp of one recipient, synced. fault is a failure of
// that recipient's mailbox, err one of the message or the node.
func (c *conn) write(ctx context.Context, m *transport.Message, i int, l *letter) (fault, err error) {
	if ctx.Err() != nil {
		return nil, &transport.Error{Phase: transport.PhaseContent, Err: context.Cause(ctx), Ours: true}
	}
	if l.box, fault = c.box(m, i); fault != nil {
		return fault, nil
	}
	content := m.Content
	if i > 0 { // the first one has read it
		again, err := m.Again.Open()
		if err != nil {
			return nil, &transport.Error{Phase: transport.PhaseContent, Err: err, Ours: true}
		}
		defer func() { _ = again.Close() }()
		content = again
	}
	var f *os.File
	fault = c.o.Owner.Do(func() error {
		if err := c.room(l.box, m.Size); err != nil {
			return err
		}
		l.name = c.unique()
		var err error
		f, err = os.OpenFile(filepath.Join(l.box, "tmp", l.name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		return err
	})
	if fault != nil {
		l.name = ""
		return fmt.Errorf("as %s: %w", c.o.Owner, fault), nil
	}
	l.size, l.virtual, fault = local.Letter(f, m, i, content)
	if fault == nil {
		fault = f.Sync()
	}
	if closed := f.Close(); fault == nil {
		fault = closed
	}
	if fault != nil {
		c.drop(l)
	}
	var unread *transport.Error
	if errors.As(fault, &unread) {
		return nil, unread
	}
	return fault, nil
}

// errAddress: the address does not make the name of a mailbox.
var errAddress = errors.New("the address cannot be that of a mailbox here")

// box is the recipient's Maildir. What comes with an address must not lead out of
// the place that the operator has meant.
func (c *conn) box(m *transport.Message, i int) (string, error) {
	facts := m.Again.Facts(i)
	if c.o.Path == nil {
		return plain(facts.Data)
	}
	to := m.Recipients[i].Address
	for _, part := range []string{to.Local, to.Domain} {
		if strings.ContainsAny(part, "/\x00") || strings.HasPrefix(part, ".") {
			return "", errAddress
		}
	}
	path, err := c.o.Path.Eval(facts)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errSetup, err)
	}
	return plain(path)
}

// plain checks a path.
func plain(path string) (string, error) {
	if !filepath.IsAbs(path) || filepath.Clean(path) != strings.TrimSuffix(path, "/") {
		return "", fmt.Errorf("%w: %q is not an absolute and plain path", errSetup, path)
	}
	return filepath.Clean(path), nil
}

// errSetup: the configuration is at fault.
var errSetup = errors.New("mend the transport")

// room makes the Maildir where it is missing, and asks whether so much fits.
func (c *conn) room(box string, size int64) error {
	for _, folder := range []string{"tmp", "new", "cur"} {
		if err := makeFolder(filepath.Join(box, folder)); err != nil {
			return err
		}
	}
	return c.o.Quota.fits(box, size, c.o.Now())
}

// makeFolder makes a folder where it is missing, and those above it, so that they
// survive the loss of power.
func makeFolder(path string) error {
	_, err := os.Stat(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	above := filepath.Dir(path)
	if err := makeFolder(above); err != nil {
		return err
	}
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncFolder(above)
}

// link makes the message visible, and syncs that. linked tells whether it is.
func (c *conn) link(l *letter) (linked bool, err error) {
	err = c.o.Owner.Do(func() error {
		from := filepath.Join(l.box, "tmp", l.name)
		// S and W spare readers a look at the file (Maildir++ and Dovecot).
		to := filepath.Join(l.box, "new", fmt.Sprintf("%s,S=%d,W=%d", l.name, l.size, l.virtual))
		err := os.Link(from, to)
		if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EOPNOTSUPP) { // a file system without links
			err = os.Rename(from, to)
		}
		if err != nil {
			return err
		}
		linked = true
		_ = os.Remove(from)
		l.name = ""
		if err := syncFolder(filepath.Join(l.box, "new")); err != nil {
			return err
		}
		c.o.Quota.count(l.box, l.size)
		return nil
	})
	return linked, err
}

// syncFolder has the names in a folder survive the loss of power.
func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	err = d.Sync()
	if closed := d.Close(); err == nil {
		err = closed
	}
	return err
}

// tidy removes what was not linked.
func (c *conn) tidy(letters []letter) {
	for i := range letters {
		c.drop(&letters[i])
	}
}

func (c *conn) drop(l *letter) {
	if l.name == "" {
		return
	}
	_ = c.o.Owner.Do(func() error { return os.Remove(filepath.Join(l.box, "tmp", l.name)) })
	l.name = ""
}

// unique is a name as the Maildir specification wants it: seconds, what tells
// deliveries of the second apart on this machine, and the machine, in which "/"
// and ":" may not stand.
func (c *conn) unique() string {
	now := c.o.Now()
	host := strings.NewReplacer("/", `\057`, ":", `\072`).Replace(c.o.Hostname)
	return fmt.Sprintf("%d.M%06dP%dQ%d.%s", now.Unix(), now.Nanosecond()/1000, os.Getpid(), c.count.Add(1), host)
}

// reply says what is wrong in terms of mail.
func reply(err error) mail.Reply {
	r := mail.Reply{Code: 451, Enhanced: "4.3.0", Text: err.Error()}
	switch {
	case errors.Is(err, errAddress):
		r.Code, r.Enhanced = 553, "5.1.3"
	case errors.Is(err, errSetup):
		r.Enhanced = "4.3.5"
	case errors.Is(err, errFull), errors.Is(err, syscall.EDQUOT):
		r.Code, r.Enhanced = 452, "4.2.2"
	case errors.Is(err, syscall.ENOSPC):
		r.Code, r.Enhanced = 452, "4.3.1"
	}
	return r
}
