package wire

import (
	"bufio"
	"crypto/tls"
	"net"
	"sync"
)

const (
	// recordSize is the most that TLS puts into one record (RFC 8446, section
	// 5.1), and writes or reads at once.
	recordSize = 16 << 10
	// burstSize is how much goes to the network, or comes from it, at once: most
	// entries whole.
	burstSize = 64 << 10
)

// burst is a connection below TLS that sends the records of one write together:
// each by itself would cost a system call, and wake the other side.
type burst struct {
	net.Conn
	in *bufio.Reader // of who reads; nil: reads go to the network as they are

	// Guards the rest, and is held while the network is written to, for records
	// must keep their order.
	mu      sync.Mutex
	out     []byte
	gathers bool
	over    bool  // the connection is being closed: nothing is gathered any more
	err     error // something gathered was not sent: what follows it is of no use
}

// readAhead reads more than a record at once from now on. Nobody may be reading.
func (b *burst) readAhead() { b.in = bufio.NewReaderSize(b.Conn, burstSize) }

// Read implements net.Conn.
func (b *burst) Read(p []byte) (int, error) {
	if b.in == nil {
		return b.Conn.Read(p)
	}
	return b.in.Read(p)
}

// Write implements net.Conn.
func (b *burst) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.err != nil:
		return 0, b.err
	case !b.gathers:
		return b.Conn.Write(p)
	}
	if b.out == nil {
		b.out = make([]byte, 0, burstSize+2*recordSize)
	}
	b.out = append(b.out, p...)
	if len(b.out) >= burstSize {
		return len(p), b.sendLocked()
	}
	return len(p), nil
}

// gather keeps what is written until send.
func (b *burst) gather() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gathers = !b.over
}

// send sends what was gathered.
func (b *burst) send() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gathers = false
	return b.sendLocked()
}

func (b *burst) sendLocked() error {
	if b.err == nil && len(b.out) > 0 {
		_, b.err = b.Conn.Write(b.out)
	}
	b.out = b.out[:0]
	return b.err
}

// stop comes before TLS says goodbye, which must not wait for a write that is
// stuck: such a one ends the connection at once, as TLS does with its own.
func (b *burst) stop() {
	if !b.mu.TryLock() {
		_ = b.Conn.Close()
		return
	}
	defer b.mu.Unlock()
	b.over = true
	if b.gathers {
		b.err = net.ErrClosed
	}
}

// secured is a TLS connection whose records go out in bursts. One goroutine
// writes.
type secured struct {
	*tls.Conn
	below *burst
}

// Write implements net.Conn.
func (s secured) Write(p []byte) (int, error) {
	if len(p) <= recordSize {
		return s.Conn.Write(p)
	}
	s.below.gather()
	n, err := s.Conn.Write(p)
	if sent := s.below.send(); err == nil && sent != nil {
		return 0, sent
	}
	return n, err
}

// Close implements net.Conn.
func (s secured) Close() error {
	s.below.stop()
	return s.Conn.Close()
}
