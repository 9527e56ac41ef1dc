package webhook

import (
	"bufio"
	"errors"
	"io"
	"sync"

	"quorumta/delivery/transport"
)

// body is the content with the last look before its last block. The client reads
// it from a goroutine of its own, perhaps beyond the end of the request.
type body struct {
	mu sync.Mutex
	r  *bufio.Reader
	m  *transport.Message
	// begun: something was read. looked: the last look was had, and agreed unless
	// there is a fault, which is ours.
	begun, looked bool
	fault         error
	ended         bool
}

func newBody(m *transport.Message) *body {
	return &body{r: bufio.NewReaderSize(m.Content, 32<<10), m: m}
}

var errEnded = errors.New("the request has ended")

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.ended:
		return 0, errEnded
	case b.fault != nil:
		return 0, b.fault
	}
	b.begun = true
	n, err := b.r.Read(p)
	if err == nil {
		_, err = b.r.Peek(1) // is this the last of it?
	}
	if err != nil && !errors.Is(err, io.EOF) {
		b.fault = err
		return 0, err
	}
	if err != nil && !b.looked {
		b.looked = true
		if b.m.BeforeDot != nil {
			b.fault = b.m.BeforeDot()
		}
		if b.fault != nil {
			return 0, b.fault
		}
	}
	if n == 0 {
		return 0, err
	}
	return n, nil
}

// Close implements io.Closer: the content is the worker's.
func (b *body) Close() error { return nil }

// end keeps the client from reading more.
func (b *body) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
}
