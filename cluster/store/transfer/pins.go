package transfer

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"quorumta/cluster/store/stream"
	"quorumta/cluster/store/throttle"
)

// ErrReleased: the view is not pinned any more, by time, or because a newer one
// has taken its place. Ask for a manifest again.
var ErrReleased = errors.New("the snapshot is not held any more; begin again")

const (
	// Idle is how long a view stays pinned when nobody asks for a chunk.
	Idle = 2 * time.Minute
	// Life is how long a view stays pinned at most: it keeps on disk what the state
	// deletes.
	Life = 2 * time.Hour
)

// View is a consistent view of a state: a store's. It may be read from several
// goroutines.
type View interface {
	// WriteTo writes the whole stream: header, frames and trailer by one Write
	// each.
	WriteTo(w io.Writer) (int64, error)
	// WriteFrames writes the frames from the key on, which one begins with.
	WriteFrames(w io.Writer, from []byte) error
	// Close ends the view.
	Close()
}

// Pins are the views that are pinned for members which fetch them: one for each
// shard at most. Its methods may be called from any goroutine.
type Pins struct {
	mu      sync.Mutex // guards the rest
	pins    map[uint16]*pin
	closed  bool
	reading sync.WaitGroup // what uses a view
}

// pin is a pinned view.
type pin struct {
	shard    uint16
	view     View
	manifest *Manifest // nil: it is being measured, or that has failed
	err      error
	cut      *cutter
	ready    chan struct{}

	users    int // guarded by Pins.mu, like the rest
	released bool
	idle     *time.Timer
	life     *time.Timer
}

// NewPins returns an empty set.
func NewPins() *Pins { return &Pins{pins: map[uint16]*pin{}} }

// Pin returns the manifest of a view that has applied index at least. The view
// that is pinned already serves again where it can, so that a transfer that was
// cut off goes on; otherwise open is called, and its view, which pins what the
// state deletes meanwhile, is read once, at rate bytes a second (0: as fast as
// can be). It is released when nobody has asked for a chunk for Idle, and after
// Life, whatever comes.
func (p *Pins) Pin(ctx context.Context, shard uint16, index uint64, rate int64, open func() View) (*Manifest, error) {
	for {
		p.mu.Lock()
		if p.closed {
			p.mu.Unlock()
			return nil, ErrReleased
		}
		old := p.pins[shard]
		if old == nil {
			n := &pin{shard: shard, ready: make(chan struct{}), users: 1}
			p.pins[shard] = n
			p.reading.Add(1)
			p.mu.Unlock()
			return p.measure(ctx, n, rate, open)
		}
		p.mu.Unlock()
		select {
		case <-old.ready:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if p.serves(old, index) {
			return old.manifest, nil
		}
	}
}

// serves reports whether a measured pin can serve again, and lets it go
// otherwise.
func (p *Pins) serves(n *pin, index uint64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n.err == nil && !n.released && n.manifest.Header.Applied >= index {
		n.idle.Reset(Idle)
		return true
	}
	p.releaseLocked(n)
	return false
}

// measure reads the view once.
func (p *Pins) measure(ctx context.Context, n *pin, rate int64, open func() View) (*Manifest, error) {
	view, cut := open(), newCutter()
	// What sets the pace stands beside the cutter, which is given whole frames.
	_, err := view.WriteTo(io.MultiWriter(cut, throttle.NewWriter(ctx, io.Discard, rate)))
	m := &Manifest{Chunks: cut.chunks}
	_, _ = rand.Read(m.ID[:]) // never fails
	if err == nil {
		m.Header, err = stream.NewReader(bytes.NewReader(cut.head)).Header()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	defer close(n.ready)
	defer p.leaveLocked(n)
	n.view, n.cut = view, cut
	switch {
	case err != nil:
		n.err = fmt.Errorf("measure the state of shard %d: %w", n.shard, err)
		p.releaseLocked(n)
	case n.released: // meanwhile
		n.err = ErrReleased
	default:
		n.manifest = m
		n.idle = time.AfterFunc(Idle, func() { p.expire(n) })
		n.life = time.AfterFunc(Life, func() { p.expire(n) })
	}
	return n.manifest, n.err
}

// expire releases a pin whose time has come.
func (p *Pins) expire(n *pin) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.releaseLocked(n)
}

// Chunk is a chunk of a pinned view.
func (p *Pins) Chunk(shard uint16, id ID, i int) ([]byte, error) {
	p.mu.Lock()
	n := p.pins[shard]
	if n == nil || n.manifest == nil || n.manifest.ID != id {
		p.mu.Unlock()
		return nil, ErrReleased
	}
	if i < 0 || i >= len(n.cut.chunks) {
		p.mu.Unlock()
		return nil, fmt.Errorf("%w: there is no chunk %d", ErrBad, i)
	}
	n.users++
	p.reading.Add(1)
	p.mu.Unlock()

	b, err := n.cut.again(n.view, i)

	p.mu.Lock()
	defer p.mu.Unlock()
	if !n.released {
		n.idle.Reset(Idle)
	}
	p.leaveLocked(n)
	return b, err
}

// Release ends a pin before its time: its receiver has all.
func (p *Pins) Release(shard uint16, id ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := p.pins[shard]; n != nil && n.manifest != nil && n.manifest.ID == id {
		p.releaseLocked(n)
	}
}

// Drop ends the pin of a shard, whatever its id.
func (p *Pins) Drop(shard uint16) {
	p.mu.Lock()
	if n := p.pins[shard]; n != nil {
		p.releaseLocked(n)
	}
	p.mu.Unlock()
}

// releaseLocked takes the pin away; the last that reads it closes the view.
func (p *Pins) releaseLocked(n *pin) {
	if n.released {
		return
	}
	n.released = true
	if p.pins[n.shard] == n {
		delete(p.pins, n.shard)
	}
	if n.idle != nil {
		n.idle.Stop()
		n.life.Stop()
	}
	if n.users == 0 {
		n.view.Close()
	}
}

// leaveLocked ends a reading.
func (p *Pins) leaveLocked(n *pin) {
	n.users--
	if n.released && n.users == 0 {
		n.view.Close()
	}
	p.reading.Done()
}

// Close releases every pin and waits until their views are closed.
func (p *Pins) Close() {
	p.mu.Lock()
	p.closed = true
	for _, n := range p.pins {
		p.releaseLocked(n)
	}
	p.mu.Unlock()
	p.reading.Wait()
}
