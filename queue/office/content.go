package office

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"quorumta/internal/mail"
	"quorumta/queue/content"
	"quorumta/queue/event"
	"quorumta/queue/lane"
	"quorumta/queue/state"
)

var (
	// ErrNotFound: no such message, open or remembered.
	ErrNotFound = errors.New("no such message")
	// ErrDamaged: the stored content does not match its digest.
	ErrDamaged = errors.New("stored content is damaged")
	// ErrElsewhere: the content is damaged on this node and whole on another,
	// where the next try will read it.
	ErrElsewhere = errors.New("the content is damaged on this node")
)

const (
	// CallContent is the method of ServeContent.
	CallContent = "queue.content"
	// fetchTime bounds asking one replica for a piece of content.
	fetchTime = 2 * time.Second
)

// piece names a part of a message's content.
type piece struct {
	ID mail.MessageID `json:"id"`
	N  uint32         `json:"n"`
}

// Content is Open for who has not read the message. It returns the content's
// size as well.
func (o *Office) Content(id mail.MessageID) (io.ReadCloser, int64, error) {
	m, ok := o.Message(id)
	if !ok {
		return nil, 0, fmt.Errorf("%w: %s", ErrNotFound, id)
	}
	r, err := o.Open(&m.Accepted)
	return r, m.Accepted.Size, err
}

// Open reads the content of an open message, its digest verified before
// the first byte is returned if it is one piece, and before the last part of
// it otherwise: a reader that fails must not be followed by a final dot.
//
// What this node's replica has lost, or has damaged, is fetched from another
// one; where none has it whole, the message is held and the error is
// ErrDamaged: it is never bounced (PROTOCOL 13). ErrElsewhere: another try will
// read it where it is whole.
func (o *Office) Open(a *event.Accepted) (io.ReadCloser, error) {
	if a.Parts > 0 {
		mend := func(given []content.Sum) ([]byte, error) { return o.mend(a, given) }
		return content.NewReader(a.Parts, a.Digest, o.loader(a), mend), nil
	}
	whole := func(b []byte) bool { return sha256.Sum256(b) == a.Digest }
	b, ok := o.piece(piece{a.ID, 0}, whole)
	if !ok {
		return nil, o.damaged(a)
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

// loader loads the parts of a message, one at a time: no view of the store is
// kept while a slow host takes it.
func (o *Office) loader(a *event.Accepted) func(uint32) ([]byte, error) {
	there := o.mended.where(a.ID)
	return func(n uint32) ([]byte, error) {
		p := piece{a.ID, n}
		if there != "" {
			if b, err := o.fetch(there, p); err == nil && len(b) > 0 {
				return b, nil
			}
		}
		if b, ok := o.piece(p, func(b []byte) bool { return len(b) > 0 }); ok {
			return b, nil
		}
		return nil, o.damaged(a)
	}
}

// mend finds a node that has all parts whole. If what was given out so far is
// right, the last part is all that was wrong.
func (o *Office) mend(a *event.Accepted, given []content.Sum) ([]byte, error) {
	o.opt.Log.Error("the content of a message is damaged on this node; asking the others", "id", a.ID)
	for _, node := range o.opt.Others() {
		load := func(n uint32) ([]byte, error) { return o.fetch(node, piece{a.ID, n}) }
		sums, last, ok := content.Verify(a.Parts, a.Digest, load)
		if !ok {
			continue
		}
		o.mended.note(a.ID, node)
		if slices.Equal(sums[:len(given)], given) {
			return last, nil
		}
		return nil, fmt.Errorf("%w: message %s is whole on %s", ErrElsewhere, a.ID, node)
	}
	return nil, o.damaged(a)
}

// mostMended bounds the messages of which is remembered where they are whole.
const mostMended = 1024

// mended says of messages that are damaged on this node where they are whole.
// Its methods are safe for concurrent use.
type mended struct {
	mu    sync.Mutex
	nodes map[mail.MessageID]string
}

func (m *mended) note(id mail.MessageID, node string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.nodes == nil || len(m.nodes) >= mostMended {
		m.nodes = map[mail.MessageID]string{} // who is forgotten is found again
	}
	m.nodes[id] = node
}

func (m *mended) where(id mail.MessageID) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.nodes[id]
}

// piece reads a piece of content that good accepts, from this node's replica
// or from another one.
func (o *Office) piece(p piece, good func([]byte) bool) ([]byte, bool) {
	b, found := o.stored(p)
	if found && good(b) {
		return b, true
	}
	if _, open := o.Message(p.ID); !open {
		return nil, false
	}
	o.opt.Log.Error("content is missing or damaged on this node; asking the others", "id", p.ID, "part", p.N, "found", found)
	for _, node := range o.opt.Others() {
		if b, err := o.fetch(node, p); err == nil && good(b) {
			return b, true
		}
	}
	return nil, false
}

// stored reads a piece of this node's replica.
func (o *Office) stored(p piece) ([]byte, bool) {
	v := o.opt.View(o.shard)
	defer v.Close()
	return state.Content(v, p.ID, p.N)
}

// fetch reads a piece of another node's replica.
func (o *Office) fetch(node string, p piece) ([]byte, error) {
	request, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(o.ctx, fetchTime)
	defer cancel()
	return o.opt.Call(ctx, node, CallContent, request)
}

// ServeContent gives another node a piece of content.
func ServeContent(view func(shard uint16, f func(state.Reader)) error, request []byte) ([]byte, error) {
	var p piece
	if err := json.Unmarshal(request, &p); err != nil {
		return nil, fmt.Errorf("decode the request: %w", err)
	}
	var b []byte
	found := false
	if err := view(p.ID.Shard(), func(r state.Reader) { b, found = state.Content(r, p.ID, p.N) }); err != nil {
		return nil, err
	}
	if !found {
		return nil, ErrNotFound
	}
	return b, nil
}

// damaged holds the message, and says why its content cannot be read.
func (o *Office) damaged(a *event.Accepted) error {
	if _, open := o.Message(a.ID); !open {
		return fmt.Errorf("%w: %s has ended", ErrNotFound, a.ID)
	}
	o.opt.Counters.Damaged.Add(o.ctx, 1)
	o.opt.Log.Error("the content of a message is damaged on every replica that answers; it is held", "id", a.ID)
	held := &event.Held{By: "quorumta", Why: "the stored content is damaged"}
	o.lane.Add(event.Group{ID: a.ID, Events: []event.Event{held}}, func(lane.Verdict) {})
	return fmt.Errorf("%w: message %s", ErrDamaged, a.ID)
}
