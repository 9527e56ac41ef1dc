package queue

import (
	"context"
	"errors"
	"slices"
	"sync"

	"quorumta/cluster"
	"quorumta/internal/mail"
	"quorumta/queue/event"
)

// faults is a way with faults in it.
type faults struct {
	way
	mu sync.Mutex
	// propose, if set, is asked what becomes of an entry.
	propose func(shard uint16, e event.Entry, next func() ([]cluster.Result, error)) ([]cluster.Result, error)
	// call, if set, answers calls instead of other nodes.
	call      func(node, method string, request []byte) ([]byte, error)
	accepting map[uint16]error
	entries   []event.Entry
}

func (f *faults) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *faults) Accepting(shard uint16) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.accepting[shard]; err != nil {
		return err
	}
	return f.way.Accepting(shard)
}

func (f *faults) Propose(ctx context.Context, shard uint16, term uint64, data []byte) ([]cluster.Result, error) {
	e, err := event.Decode(slices.Clone(data))
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	f.entries = append(f.entries, e)
	propose := f.propose
	f.mu.Unlock()
	next := func() ([]cluster.Result, error) { return f.way.Propose(ctx, shard, term, data) }
	if propose != nil {
		return propose(shard, e, next)
	}
	return next()
}

func (f *faults) Call(ctx context.Context, node, method string, request []byte) ([]byte, error) {
	f.mu.Lock()
	call := f.call
	f.mu.Unlock()
	if call == nil {
		return nil, cluster.ErrUnreachable
	}
	return call(node, method, request)
}

// has reports whether the entry has an event of the kind.
func has(e event.Entry, kind event.Kind) bool {
	for _, g := range e.Groups {
		for _, ev := range g.Events {
			if ev.Kind() == kind {
				return true
			}
		}
	}
	return false
}

// kinds are the kinds of a message's history.
func (h *house) kinds(id mail.MessageID) []event.Kind {
	h.t.Helper()
	_, records, err := h.Show(h.t.Context(), id)
	if err != nil && !errors.Is(err, ErrNotFound) {
		h.t.Fatal(err)
	}
	var kinds []event.Kind
	for _, r := range records {
		kinds = append(kinds, r.Event.Kind())
	}
	return kinds
}
