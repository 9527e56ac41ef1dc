// Package lane brings groups into the log of an office: those that wait while
// an entry is under way share the next one, so that many small decisions cost
// few entries, and a single one does not wait. Only what fills an entry goes
// beside others.
package lane

import (
	"errors"
	"fmt"
	"sync"

	"quorumta/queue/event"
	"quorumta/queue/state/verdict"
)

const (
	// MostGroups and mostBytes bound an entry that groups share.
	MostGroups = 200
	mostBytes  = event.MaxPart
	// mostWaiting bounds the groups that wait for an entry, and mostHeavy the
	// bytes that they take. New mail gets three quarters: what became of the
	// mail that is there always has a way into the log.
	mostWaiting = 16384
	mostHeavy   = 32 << 20
)

// What a group is refused with before anything was proposed.
var (
	// ErrNotProposed: nothing was proposed; another shard may be asked.
	ErrNotProposed = errors.New("not proposed")
	// ErrNoOffice is an ErrNotProposed: nobody is known to lead the shard.
	ErrNoOffice = fmt.Errorf("%w: nobody leads the shard", ErrNotProposed)
	// ErrBusy is an ErrNotProposed: too many groups wait.
	ErrBusy = fmt.Errorf("%w: too many proposals are waiting", ErrNotProposed)
)

// Verdict is what became of a proposed group. An Err that is ErrNotProposed
// means just that; every other Err that the outcome is not known (PROTOCOL 19).
type Verdict struct {
	Result verdict.Result
	Err    error
}

// Definite reports whether the verdict says what is on record. It does not if
// the group was decided in another term than it was committed in: it may be
// decided again.
func (v Verdict) Definite() bool { return v.Err == nil && v.Result != verdict.Late }

// NotProposed reports whether nothing was proposed.
func (v Verdict) NotProposed() bool { return errors.Is(v.Err, ErrNotProposed) }

// Error is why the verdict is not a success, for a message.
func (v Verdict) Error() error {
	if v.Err != nil {
		return v.Err
	}
	return fmt.Errorf("refused with result %d", v.Result)
}

// Waiting is a group that waits for an entry. Settled is called once, from any
// goroutine, and must not block.
type Waiting struct {
	Group   event.Group
	Settled func(Verdict)
}

// Lane is one way into the log of an office.
type Lane struct {
	flights int
	spawn   func(func()) bool
	commit  func([]Waiting)

	mu      sync.Mutex
	waiting []Waiting
	heavy   int // bytes that wait
	flying  int
	closed  bool
}

// New makes a lane with at most that many entries under way; the order of the
// groups is kept in an entry, and among entries where there is but one at a
// time. commit proposes an entry and settles its groups; spawn runs a
// goroutine, or reports false if none may be run any more.
func New(flights int, spawn func(func()) bool, commit func([]Waiting)) *Lane {
	return &Lane{flights: flights, spawn: spawn, commit: commit}
}

// Add has the group proposed.
func (l *Lane) Add(g event.Group, settled func(Verdict)) {
	if err := l.Enqueue(Waiting{g, settled}); err != nil {
		settled(Verdict{Err: err})
	}
}

// Enqueue is Add for a caller that wants to know at once that the group was
// refused: Settled is not called then.
func (l *Lane) Enqueue(w Waiting) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrNoOffice
	}
	bytes := weight(w.Group)
	groups, heavy := mostWaiting, mostHeavy
	if isNewMail(w.Group) {
		groups, heavy = groups/4*3, heavy/4*3
	}
	if len(l.waiting) >= groups || l.heavy+bytes > heavy {
		return ErrBusy
	}
	full := len(l.waiting)+1 >= MostGroups || l.heavy+bytes >= mostBytes/2
	if l.flying == 0 || full && l.flying < l.flights {
		if !l.spawn(l.fly) {
			return ErrNoOffice
		}
		l.flying++
	}
	l.waiting = append(l.waiting, w)
	l.heavy += bytes
	return nil
}

// fly proposes entries until no group waits.
func (l *Lane) fly() {
	for {
		batch := l.take()
		if len(batch) == 0 {
			return
		}
		l.commit(batch)
	}
}

// take takes the groups of the next entry, in order.
func (l *Lane) take() []Waiting {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, bytes := 0, 0
	for n < len(l.waiting) && n < MostGroups {
		more := weight(l.waiting[n].Group)
		if n > 0 && bytes+more > mostBytes {
			break
		}
		bytes += more
		n++
	}
	l.heavy -= bytes
	if n == 0 {
		l.flying--
		return nil
	}
	batch := l.waiting[:n:n]
	l.waiting = l.waiting[n:]
	return batch
}

// Close refuses what waits and what comes.
func (l *Lane) Close() {
	l.mu.Lock()
	left := l.waiting
	l.waiting, l.heavy, l.closed = nil, 0, true
	l.mu.Unlock()
	for _, w := range left {
		w.Settled(Verdict{Err: ErrNoOffice})
	}
}

// isNewMail reports whether the group brings mail in from outside.
func isNewMail(g event.Group) bool {
	if len(g.Events) == 0 {
		return false
	}
	kind := g.Events[0].Kind()
	return kind == event.KindBodyPart || kind == event.KindAccepted
}

// weight is about how many bytes a group takes in an entry.
func weight(g event.Group) int {
	n := 64
	for _, ev := range g.Events {
		n += 256
		switch ev := ev.(type) {
		case *event.BodyPart:
			n += len(ev.Content)
		case *event.Accepted:
			n += len(ev.Content) + 128*len(ev.Envelope.Recipients)
		case *event.Claimed:
			n += 4 * len(ev.Recipients)
		case *event.Delivered:
			n += 4*len(ev.Recipients) + len(ev.Attempt.Reply.Text)
		case *event.Deferred:
			n += 4*len(ev.Recipients) + len(ev.Attempt.Reply.Text)
		case *event.Failed:
			n += 4*len(ev.Recipients) + len(ev.Attempt.Reply.Text)
		}
	}
	return n
}
