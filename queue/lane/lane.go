// Package lane brings groups into the log of an office: those that wait while
// an entry is under way share the next one, so that many small decisions cost
// few entries, and new mail does not wait. What nobody waits for at the other
// end of a connection, claims and outcomes, is patient: it goes with new mail,
// or a little later with its like. Only what fills an entry goes beside others.
package lane

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

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
	// patience is how long claims and outcomes wait for others, unless there are
	// enough of them.
	patience = 5 * time.Millisecond
	enough   = 16
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
	heavy   int       // bytes that wait
	since   time.Time // when the first that wait began to
	flying  int
	// bell ends the patience of those that wait while nothing is under way; set
	// tells that it will ring.
	bell   *time.Timer
	set    bool
	closed bool
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
	if len(l.waiting) == 0 {
		l.since = time.Now()
	}
	l.waiting = append(l.waiting, w)
	l.heavy += bytes
	if !l.departLocked() {
		l.waiting, l.heavy = l.waiting[:len(l.waiting)-1], l.heavy-bytes
		return ErrNoOffice
	}
	return nil
}

// departLocked begins an entry, if one may begin now. It reports whether what
// waits will be proposed some time.
func (l *Lane) departLocked() bool {
	full := len(l.waiting) >= MostGroups || l.heavy >= mostBytes/2
	switch {
	case l.flying > 0 && (!full || l.flying >= l.flights):
		return true
	case l.flying == 0 && l.patientLocked():
		l.ringLocked()
		return true
	case !l.spawn(l.fly):
		return false
	}
	l.flying++
	return true
}

// patientLocked reports whether all that wait may do so for longer.
func (l *Lane) patientLocked() bool {
	return len(l.waiting) < enough && time.Since(l.since) < patience &&
		!slices.ContainsFunc(l.waiting, func(w Waiting) bool { return !isPatient(w.Group) })
}

// ringLocked has those that wait depart when their patience ends.
func (l *Lane) ringLocked() {
	if l.set {
		return
	}
	l.set = true
	left := patience - time.Since(l.since)
	if l.bell == nil {
		l.bell = time.AfterFunc(left, l.depart)
		return
	}
	l.bell.Reset(left)
}

// depart has those go whose patience has ended.
func (l *Lane) depart() {
	l.mu.Lock()
	l.set = false
	ok := l.closed || l.flying > 0 || len(l.waiting) == 0 || l.departLocked()
	l.mu.Unlock()
	if !ok {
		l.Close()
	}
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
	if len(l.waiting) > 0 && l.flying == 1 && l.patientLocked() {
		l.ringLocked()
		l.flying--
		return nil
	}
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
	l.waiting, l.since = l.waiting[n:], time.Now()
	return batch
}

// Close refuses what waits and what comes.
func (l *Lane) Close() {
	l.mu.Lock()
	left := l.waiting
	l.waiting, l.heavy, l.closed = nil, 0, true
	if l.bell != nil {
		l.bell.Stop()
	}
	l.mu.Unlock()
	for _, w := range left {
		w.Settled(Verdict{Err: ErrNoOffice})
	}
}

// isPatient reports whether nobody waits for the group: neither a client, nor
// an operator.
func isPatient(g event.Group) bool {
	for _, ev := range g.Events {
		switch ev.Kind() {
		case event.KindClaimed, event.KindDelivered, event.KindDeferred, event.KindFailed:
		default:
			return false
		}
	}
	return len(g.Events) > 0
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
