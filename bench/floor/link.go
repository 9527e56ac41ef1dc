package floor

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// link carries content to one other process. On the wire each message is four
// bytes of length and as many of envelope and content; the answers are eight
// bytes, the number of messages of this connection that are synced.
type link struct {
	address string
	wake    chan struct{}

	mu      sync.Mutex
	waiting []*message // not yet sent
	sent    []*message // not yet answered
	done    uint64     // answered
}

func newLink(address string) *link { return &link{address: address, wake: make(chan struct{}, 1)} }

func (l *link) send(m *message) {
	l.mu.Lock()
	l.waiting = append(l.waiting, m)
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// run connects, however long the other takes to start, and carries until ctx
// ends. A connection that breaks ends the floor: it is no relay.
func (l *link) run(ctx context.Context) error {
	nc, err := dial(ctx, l.address)
	if err != nil {
		return err
	}
	defer nc.Close()
	defer context.AfterFunc(ctx, func() { nc.Close() })()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer nc.Close()
	wg.Go(func() { l.answers(nc) })
	var lengths []byte
	for {
		select {
		case <-l.wake:
		case <-ctx.Done():
			return nil
		}
		l.mu.Lock()
		batch := l.waiting
		l.waiting = nil
		l.sent = append(l.sent, batch...)
		l.mu.Unlock()
		lengths = lengths[:0]
		for _, m := range batch {
			lengths = binary.BigEndian.AppendUint32(lengths, uint32(len(m.envelope)+len(m.content)))
		}
		var buffers net.Buffers
		for i, m := range batch {
			buffers = append(buffers, lengths[4*i:4*i+4], m.envelope, m.content)
		}
		if _, err := buffers.WriteTo(nc); err != nil {
			return ignoreAfter(ctx, err)
		}
	}
}

// answers tells messages that they are synced there.
func (l *link) answers(r io.Reader) {
	var b [8]byte
	for {
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return
		}
		n := binary.BigEndian.Uint64(b[:])
		l.mu.Lock()
		done := l.sent[:n-l.done]
		l.sent = l.sent[n-l.done:]
		l.done = n
		l.mu.Unlock()
		for _, m := range done {
			m.sync()
		}
	}
}

// follow appends what another process sends, and says how far it is synced.
func follow(ctx context.Context, nc net.Conn, log *journal) {
	defer nc.Close()
	defer context.AfterFunc(ctx, func() { nc.Close() })()
	var synced atomic.Uint64
	wake := make(chan struct{}, 1)
	ended := make(chan struct{})
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(ended)
	wg.Go(func() {
		for {
			select {
			case <-wake:
			case <-ended:
				return
			}
			var b [8]byte
			binary.BigEndian.PutUint64(b[:], synced.Load())
			if _, err := nc.Write(b[:]); err != nil {
				return
			}
		}
	})
	r := bufio.NewReaderSize(nc, 64<<10)
	for {
		var length [4]byte
		if _, err := io.ReadFull(r, length[:]); err != nil {
			return
		}
		content := make([]byte, binary.BigEndian.Uint32(length[:]))
		if _, err := io.ReadFull(r, content); err != nil {
			return
		}
		log.append(entry{pieces: [2][]byte{content}, synced: func() {
			synced.Add(1)
			select {
			case wake <- struct{}{}:
			default:
			}
		}})
	}
}

// dial connects to a process that may still have to start.
func dial(ctx context.Context, address string) (net.Conn, error) {
	var d net.Dialer
	for {
		nc, err := d.DialContext(ctx, "tcp", address)
		if err == nil {
			return nc, nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return nil, ignoreAfter(ctx, err)
		}
	}
}

// ignoreAfter is err, or ctx's end, which made it.
func ignoreAfter(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}
