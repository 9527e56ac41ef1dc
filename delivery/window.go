package delivery

import (
	"slices"
	"sync"
	"time"

	"quorumta/delivery/site"
	"quorumta/internal/mail"
)

// job is recipients of one message that go to one site together.
type job struct {
	office     *office
	id         mail.MessageID
	sender     string
	recipients []uint32
	lane       *lane
	// since is when it began to wait.
	since time.Time
}

// lane is the queue of a site.
type lane struct {
	site *site.Site
	// queue is what waits.
	queue fair
	// idle are the workers with an open connection and nothing to send, the
	// one that began to wait last at the end.
	idle []chan *job
	// workers counts them, idle or not.
	workers int
	// dropped: jobs did not fit; a sweep of the index will find them.
	dropped bool
}

// entryKey names a message that is known to the window. The office is part of
// it: what an earlier one has in flight is not known to the next.
type entryKey struct {
	office *office
	id     mail.MessageID
}

// entry is a message of which something is being done.
type entry struct {
	// routing: its recipients are being routed.
	routing bool
	jobs    []*job
}

// alarm brings a message back to routing: at that time recipients of it are
// due while others are still in the window.
type alarm struct {
	at  time.Time
	key entryKey
}

// window is what this process knows to be due; safe for concurrent use. It
// waits for nobody, but asks sites, which have locks of their own.
type window struct {
	limits Limits
	now    func() time.Time

	mu      sync.Mutex
	entries map[entryKey]*entry
	lanes   map[string]*lane
	alarms  []alarm
	// waiting counts jobs in lanes, workers the connections or what will be.
	waiting, workers int
	closed           bool
	// stirred is sent to when a worker has ended.
	stirred chan struct{}
	// meals counts how often a lane that had dropped jobs could take more
	// again; hunger is closed, and made anew, each time.
	meals  uint64
	hunger chan struct{}
}

func newWindow(l Limits, now func() time.Time) *window {
	return &window{
		limits:  l,
		now:     now,
		entries: map[entryKey]*entry{},
		lanes:   map[string]*lane{},
		stirred: make(chan struct{}, 1),
		hunger:  make(chan struct{}),
	}
}

// admit notes that a message is about to be routed. It says no to what is
// known already.
func (w *window) admit(k entryKey) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || w.entries[k] != nil {
		return false
	}
	w.entries[k] = &entry{routing: true}
	return true
}

// readmit is admit for a message of which jobs are known; busy are their
// recipients.
func (w *window) readmit(k entryKey) (busy []uint32, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := w.entries[k]
	switch {
	case w.closed || e != nil && e.routing:
		return nil, false
	case e == nil:
		e = &entry{}
		w.entries[k] = e
	}
	e.routing = true
	for _, j := range e.jobs {
		busy = append(busy, j.recipients...)
	}
	return busy, true
}

// routed ends what admit began.
func (w *window) routed(k entryKey) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if e := w.entries[k]; e != nil {
		e.routing = false
		w.tidyLocked(k, e)
	}
}

func (w *window) tidyLocked(k entryKey, e *entry) {
	if !e.routing && len(e.jobs) == 0 {
		delete(w.entries, k)
	}
}

// add puts a job into the lane of its site: to a worker that is idle, or to
// those that wait. It is dropped where it would wait beyond the site's share,
// or the window's size. start asks for a worker for the lane.
func (w *window) add(j *job, s *site.Site) (start bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := w.entries[entryKey{j.office, j.id}]
	if w.closed || e == nil {
		return false
	}
	l := w.lanes[s.Key()]
	if l == nil {
		l = &lane{site: s}
		w.lanes[s.Key()] = l
	}
	j.lane, j.since = l, w.now()
	if k := len(l.idle); k > 0 {
		e.jobs = append(e.jobs, j)
		l.idle[k-1] <- j
		l.idle = l.idle[:k-1]
		return false
	}
	start = w.startLocked(l)
	if !start && (l.queue.len() >= w.limits.Window/4 || w.waiting >= w.limits.Window) {
		l.dropped = true
		return false
	}
	e.jobs = append(e.jobs, j)
	l.queue.push(j)
	w.waiting++
	return start
}

// startLocked takes the right to one more worker for the lane.
func (w *window) startLocked(l *lane) bool {
	if w.closed || w.workers >= w.limits.Connections || !l.site.Begin() {
		return false
	}
	w.workers++
	l.workers++
	return true
}

// starts lists the lanes that may have one more worker, with that right taken
// for each.
func (w *window) starts() []*lane {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []*lane
	for key, l := range w.lanes {
		w.askLocked(l)
		switch {
		case l.queue.len() > 0:
			if w.startLocked(l) {
				list = append(list, l)
			}
		case l.workers == 0 && !l.dropped:
			delete(w.lanes, key)
		}
	}
	return list
}

// next takes a job for a worker, which waits for it if it has a connection. It
// is nil when the worker is to end.
func (w *window) next(l *lane, wait time.Duration) *job {
	w.mu.Lock()
	j := l.queue.pop()
	if j != nil {
		w.waiting--
		w.askLocked(l)
	}
	if j != nil || wait == 0 || w.closed {
		w.mu.Unlock()
		return j
	}
	hand := make(chan *job, 1)
	l.idle = append(l.idle, hand)
	w.mu.Unlock()

	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case j := <-hand:
		return j
	case <-timer.C:
	}
	w.mu.Lock()
	l.idle = slices.DeleteFunc(l.idle, func(c chan *job) bool { return c == hand })
	w.mu.Unlock()
	select {
	case j := <-hand: // at the last moment
		return j
	default:
		return nil
	}
}

// ended gives a worker's right back.
func (w *window) ended(l *lane) {
	w.mu.Lock()
	w.workers--
	l.workers--
	w.mu.Unlock()
	select {
	case w.stirred <- struct{}{}:
	default:
	}
}

// requeue puts a job back that could not be tried at all.
func (w *window) requeue(j *job) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || j.office.gone {
		w.doneLocked(j)
		return
	}
	j.lane.queue.pushFront(j)
	w.waiting++
}

// done forgets a job. Recipients of it are due again at the time again, of
// which the index does not tell if that is now, or the message has other jobs.
// The zero time means that none are.
func (w *window) done(j *job, again time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	k := entryKey{j.office, j.id}
	w.doneLocked(j)
	_, known := w.entries[k]
	if !again.IsZero() && !j.office.gone && (known || !again.After(w.now())) {
		w.alarms = append(w.alarms, alarm{again, k})
	}
}

func (w *window) doneLocked(j *job) {
	k := entryKey{j.office, j.id}
	e := w.entries[k]
	if e == nil {
		return
	}
	e.jobs = slices.DeleteFunc(e.jobs, func(x *job) bool { return x == j })
	w.tidyLocked(k, e)
}

// rung takes the alarms whose time has come.
func (w *window) rung() []entryKey {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.now()
	var keys []entryKey
	w.alarms = slices.DeleteFunc(w.alarms, func(a alarm) bool {
		if a.at.After(now) {
			return false
		}
		keys = append(keys, a.key)
		return true
	})
	return keys
}

// impatient takes jobs that have waited for a failing site for too long, at
// most n.
func (w *window) impatient(n int) []*job {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []*job
	before := w.now().Add(-w.limits.Patience)
	for _, l := range w.lanes {
		if l.queue.len() == 0 {
			continue
		}
		if _, failing := l.site.Failing(); !failing {
			continue
		}
		old := l.queue.waitingSince(before, n-len(list))
		w.waiting -= len(old)
		list = append(list, old...)
	}
	return list
}

// askLocked has all offices sweep when a lane that dropped jobs could take
// more again: what did not fit is in the index alone.
func (w *window) askLocked(l *lane) {
	if l.dropped && l.queue.len() < w.limits.Window/16 && w.waiting < w.limits.Window {
		l.dropped = false
		w.meals++
		close(w.hunger)
		w.hunger = make(chan struct{})
	}
}

// appetite is how many sweeps were asked for so far, and what is closed with
// the next.
func (w *window) appetite() (meals uint64, next <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.meals, w.hunger
}

// leave drops what waits of an office that has ended.
func (w *window) leave(o *office) {
	w.mu.Lock()
	defer w.mu.Unlock()
	o.gone = true
	for _, l := range w.lanes {
		before := l.queue.len()
		l.queue.filter(func(j *job) bool { return j.office != o })
		w.waiting -= before - l.queue.len()
	}
	for k := range w.entries {
		if k.office == o {
			delete(w.entries, k)
		}
	}
	w.alarms = slices.DeleteFunc(w.alarms, func(a alarm) bool { return a.key.office == o })
}

// close lets the workers end after what they have in hand.
func (w *window) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for _, l := range w.lanes {
		for _, hand := range l.idle {
			hand <- nil
		}
		l.idle = nil
		l.queue = fair{}
	}
	w.waiting = 0
}

// load is what the window holds.
type load struct {
	jobs, waiting, workers, suspended int
}

func (w *window) load() load {
	w.mu.Lock()
	defer w.mu.Unlock()
	x := load{waiting: w.waiting, workers: w.workers}
	for _, e := range w.entries {
		x.jobs += len(e.jobs)
	}
	for _, l := range w.lanes {
		if _, _, ok := l.site.Suspended(); ok {
			x.suspended++
		}
	}
	return x
}
