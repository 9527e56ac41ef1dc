package query

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"quorumta/internal/mail"
	"quorumta/queue/call"
	"quorumta/queue/state"
)

const (
	callRead = "queue.read"
	callNext = "queue.next"
	// mostReadings bounds those that other nodes do at this one.
	mostReadings = 64
	// idleTime is after what time a reading ends that nobody asks for more of:
	// it pins a view.
	idleTime = 15 * time.Second
	// waitTime is how long the answer to callNext waits for records.
	waitTime = 2 * time.Second
	// mostRecords bounds an answer, and mostRecorded its bytes.
	mostRecords  = 512
	mostRecorded = 1 << 20
)

// reading asks a node to read a shard for another one that has no replica.
type reading struct {
	Shard  uint16         `json:"shard"`
	ID     mail.MessageID `json:"id,omitempty"`
	Follow bool           `json:"follow,omitempty"`
}

// ticket names a reading at the node that does it.
type ticket struct {
	Number uint64 `json:"number"`
}

// lot is some of what is read. Each record is in the encoding of events.
type lot struct {
	Records [][]byte `json:"records"`
	// Told: the history is complete, and what follows is new.
	Told bool `json:"told,omitempty"`
	// Failed says why nothing follows; "" while something may.
	Failed string `json:"failed,omitempty"`
}

// readings are what this node reads for others.
type readings struct {
	mu   sync.Mutex
	last uint64
	open map[uint64]chan lot
}

// begin notes a reading; false if there are too many.
func (r *readings) begin() (uint64, chan lot, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.open) >= mostReadings {
		return 0, nil, false
	}
	if r.open == nil {
		r.open = map[uint64]chan lot{}
	}
	r.last++
	lots := make(chan lot)
	r.open[r.last] = lots
	return r.last, lots, true
}

func (r *readings) get(number uint64) chan lot {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.open[number]
}

func (r *readings) end(number uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.open[number])
	delete(r.open, number)
}

// serveRead begins to read this node's replica.
func (a *Asker) serveRead(_ context.Context, r reading) (ticket, error) {
	if !a.here(r.Shard) {
		return ticket{}, fmt.Errorf("no replica of shard %d here", r.Shard)
	}
	number, lots, ok := a.readings.begin()
	if !ok {
		return ticket{}, errors.New("too many readings")
	}
	s := a.openHere(r)
	running := a.o.Spawn(func(ctx context.Context) {
		defer a.readings.end(number)
		defer s.close()
		(&errand{ctx: ctx, lots: lots}).run(s, r.Follow)
	})
	if !running {
		s.close()
		a.readings.end(number)
		return ticket{}, errors.New("this node is closing")
	}
	return ticket{number}, nil
}

// errand is one reading, in its goroutine.
type errand struct {
	ctx   context.Context
	lots  chan<- lot
	next  lot
	bytes int
}

func (e *errand) run(s source, follow bool) {
	more, err := s.history(e.ctx, func(rec state.Record) bool {
		e.add(rec)
		return len(e.next.Records) < mostRecords && e.bytes < mostRecorded || e.hand()
	})
	if !more {
		return // nobody asks
	}
	if errors.Is(err, ErrIncomplete) && !e.hand() {
		return
	}
	e.next.Told = err == nil
	for err == nil && e.hand() && follow {
		var batch []state.Record
		batch, err = e.wait(s)
		for some := range slices.Chunk(batch, mostRecords) {
			for _, rec := range some {
				e.add(rec)
			}
			if len(some) == mostRecords && !e.hand() {
				return
			}
		}
	}
	if err != nil {
		e.next.Failed = err.Error()
		e.hand()
	}
}

// wait waits for what is new; after some time there may be nothing.
func (e *errand) wait(s source) ([]state.Record, error) {
	ctx, cancel := context.WithTimeout(e.ctx, waitTime)
	defer cancel()
	batch, err := s.next(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = nil
	}
	return batch, err
}

func (e *errand) add(rec state.Record) {
	row := encodeRecord(rec)
	e.next.Records = append(e.next.Records, row)
	e.bytes += len(row)
}

// hand hands the lot over; false if nobody asks for it.
func (e *errand) hand() bool {
	idle := time.NewTimer(idleTime)
	defer idle.Stop()
	select {
	case e.lots <- e.next:
		e.next, e.bytes = lot{}, 0
		return true
	case <-idle.C:
	case <-e.ctx.Done():
	}
	return false
}

// serveNext gives out the next lot of a reading.
func (a *Asker) serveNext(ctx context.Context, t ticket) (lot, error) {
	lots := a.readings.get(t.Number)
	if lots == nil {
		return lot{}, errOver
	}
	select {
	case l, ok := <-lots:
		if !ok {
			return lot{}, errOver
		}
		return l, nil
	case <-ctx.Done():
		return lot{}, ctx.Err()
	}
}

// errOver: a reading has ended, because nobody asked, or with its node.
var errOver = errors.New("the reading is over")

// remote is a shard that another node reads for this one.
type remote struct {
	asker  *Asker
	node   string
	ticket ticket
	told   bool
}

// openElsewhere has a shard read by its leader or, where there is none in
// reach, by any other node that has a replica.
func (a *Asker) openElsewhere(ctx context.Context, r reading) (source, error) {
	nodes := a.o.Others()
	if leader := a.o.Leader(r.Shard); slices.Contains(nodes, leader) {
		nodes = append([]string{leader}, nodes...)
	}
	err := errors.New("no other node is known")
	for _, node := range nodes {
		var t ticket
		if t, err = askNode[reading, ticket](ctx, a, node, callRead, r); err == nil {
			return &remote{asker: a, node: node, ticket: t}, nil
		}
	}
	return nil, fmt.Errorf("no replica here, and no other node reads it: %w", err)
}

func (r *remote) history(ctx context.Context, f func(state.Record) bool) (bool, error) {
	for !r.told {
		records, err := r.next(ctx)
		if err != nil {
			return false, err
		}
		for _, rec := range records {
			if !f(rec) {
				return false, nil
			}
		}
	}
	return true, nil
}

func (r *remote) next(ctx context.Context) ([]state.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, idleTime)
	defer cancel()
	l, err := call.Ask[ticket, lot](ctx, r.asker.o.Call, r.node, callNext, r.ticket)
	if err != nil {
		return nil, fmt.Errorf("%s, which reads it for this node, does not go on: ask again: %w", r.node, err)
	}
	if l.Failed != "" {
		return nil, fmt.Errorf("%s: %s", r.node, l.Failed)
	}
	records := make([]state.Record, len(l.Records))
	for i, b := range l.Records {
		if records[i], err = decodeRecord(b); err != nil {
			return nil, err
		}
	}
	r.told = r.told || l.Told
	return records, nil
}

// close does nothing: a reading that nobody asks about ends by itself.
func (r *remote) close() {}
