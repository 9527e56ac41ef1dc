package sim

import (
	"bytes"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// pipeLimit is how much one direction of a connection buffers, bytes: about
// what a kernel does. A cut or slow link and a paused host have no limit: whoever
// waits in Write may hold a mutex (net/http does), and as long as somebody
// waits for a mutex no virtual time passes that could end it.
const pipeLimit = 256 << 10

// openingLimit is how much of a connection's first write is remembered, bytes.
const openingLimit = 256

// pipe is one direction of a connection. Its fields are owned by the
// network's mutex.
type pipe struct {
	net      *Network
	from, to string
	forth    *pipe      // the direction away from who made the connection
	opening  []byte     // of forth: the beginning of what was written first
	changed  *sync.Cond // on the network's mutex: something to look at
	data     []byte
	underWay []parcel // what comes behind data
	closed   bool     // the writer has closed: the reader gets io.EOF after data
	gone     bool     // the reader has closed: the writer fails
	err      error    // the connection was reset
}

// parcel is data that has not arrived.
type parcel struct {
	data    []byte
	arrives time.Time
}

// sendLocked puts data on its way.
func (p *pipe) sendLocked(data []byte) {
	late := p.lateLocked(data)
	if late <= 0 && len(p.underWay) == 0 {
		p.data = append(p.data, data...)
		p.changed.Broadcast()
		return
	}
	arrives := time.Now().Add(late)
	if n := len(p.underWay); n > 0 && p.underWay[n-1].arrives.After(arrives) {
		arrives = p.underWay[n-1].arrives
	}
	p.underWay = append(p.underWay, parcel{bytes.Clone(data), arrives})
	time.AfterFunc(time.Until(arrives), func() {
		p.changed.L.Lock()
		defer p.changed.L.Unlock()
		p.changed.Broadcast()
	})
}

// lateLocked is how long data is under way.
func (p *pipe) lateLocked(data []byte) time.Duration {
	if p == p.forth && p.opening == nil {
		p.opening = bytes.Clone(data[:min(len(data), openingLimit)])
	}
	late := p.net.late[p.to]
	if late == nil {
		return 0
	}
	return late(Sent{From: p.from, To: p.to, Opening: p.forth.opening, Data: data, Back: p != p.forth})
}

// arriveLocked takes in what has arrived by now.
func (p *pipe) arriveLocked() {
	for now := time.Now(); len(p.underWay) > 0 && !p.underWay[0].arrives.After(now); p.underWay = p.underWay[1:] {
		p.data = append(p.data, p.underWay[0].data...)
	}
}

// conn is one end of a connection. Its fields are owned by the network's
// mutex.
type conn struct {
	net           *Network
	in, out       *pipe
	local, remote net.Addr
	closed        bool
	readBy        deadline
	writeBy       deadline
}

// deadline is a point in time after which reads or writes fail.
type deadline struct {
	at    time.Time
	timer *time.Timer
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

// setLocked sets the deadline and has the waiting looked at when it passes.
func (d *deadline) setLocked(p *pipe, at time.Time) {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.at = at
	if !at.IsZero() {
		d.timer = time.AfterFunc(time.Until(at), func() {
			p.changed.L.Lock()
			defer p.changed.L.Unlock()
			p.changed.Broadcast()
		})
	}
	p.changed.Broadcast()
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	n := c.net
	n.mu.Lock()
	defer n.mu.Unlock()
	for {
		in := c.in
		in.arriveLocked()
		switch {
		case c.closed:
			return 0, net.ErrClosed
		case in.err != nil:
			return 0, in.err
		case c.readBy.passed():
			return 0, os.ErrDeadlineExceeded
		case n.stoppedLocked(in):
		case len(in.data) > 0:
			k := copy(p, in.data)
			in.data = in.data[k:]
			in.changed.Broadcast()
			return k, nil
		case in.closed && len(in.underWay) == 0:
			return 0, io.EOF
		}
		in.changed.Wait()
	}
}

// Write implements net.Conn.
func (c *conn) Write(p []byte) (int, error) {
	n := c.net
	n.mu.Lock()
	defer n.mu.Unlock()
	done := 0
	for {
		out := c.out
		switch {
		case c.closed:
			return done, net.ErrClosed
		case out.err != nil:
			return done, out.err
		case out.gone:
			return done, io.ErrClosedPipe
		case done == len(p):
			return done, nil
		case c.writeBy.passed():
			return done, os.ErrDeadlineExceeded
		}
		room := pipeLimit - len(out.data)
		if n.stoppedLocked(out) || n.late[out.to] != nil || len(out.underWay) > 0 {
			room = len(p) - done
		}
		if room > 0 {
			k := min(room, len(p)-done)
			out.sendLocked(p[done : done+k])
			done += k
			continue
		}
		out.changed.Wait()
	}
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	c.closeLocked()
	return nil
}

func (c *conn) closeLocked() {
	if c.closed {
		return
	}
	c.closed = true
	c.out.closed = true
	c.in.gone = true
	c.readBy.setLocked(c.in, time.Time{})
	c.writeBy.setLocked(c.out, time.Time{})
	delete(c.net.conns, c)
}

// LocalAddr implements net.Conn.
func (c *conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr implements net.Conn.
func (c *conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	c.readBy.setLocked(c.in, t)
	c.writeBy.setLocked(c.out, t)
	return nil
}

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	c.readBy.setLocked(c.in, t)
	return nil
}

// SetWriteDeadline implements net.Conn.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	c.writeBy.setLocked(c.out, t)
	return nil
}
