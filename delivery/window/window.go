package window

import (
	"maps"
	"slices"
	"sync"
	"time"

	"quorumta/delivery/site"
)

// Limits bound what a window holds and does at once.
type Limits struct {
	// Jobs is the most that wait; a site may have a quarter of them.
	Jobs int
	// Connections is the most workers of all lanes together.
	Connections int
	// Patience is how long a job waits for a failing site.
	Patience time.Duration
	// Pressed reports that memory is short: an eighth of the workers do then.
	// Asked often, under the window's lock.
	Pressed func() bool
}

// most is how many workers there may be now.
func (l Limits) most() int {
	if l.Pressed() {
		return max(1, l.Connections/8)
	}
	return l.Connections
}

// Window is what this process knows to be due; safe for concurrent use. It
// waits for nobody, but asks sites, which have locks of their own.
type Window struct {
	limits Limits
	now    func() time.Time

	mu sync.Mutex
	// held are the offices that have been entered and not left.
	held    map[Office]bool
	entries map[Key]*entry
	lanes   map[string]*Lane
	alarms  []alarm
	parked  map[Key]parking
	// waiting counts jobs in lanes, workers the connections or what will be.
	waiting, workers int
	closed           bool
	// stirred is sent to when a worker has ended.
	stirred chan struct{}
	// meals counts how often a lane that had dropped jobs could take more
	// again; hunger is closed, and made anew, each time.
	meals  uint64
	hunger chan struct{}
	// drops counts the jobs that did not fit.
	drops uint64
}

// New makes an empty window; now is the wall clock.
func New(l Limits, now func() time.Time) *Window {
	return &Window{
		limits:  l,
		now:     now,
		held:    map[Office]bool{},
		entries: map[Key]*entry{},
		lanes:   map[string]*Lane{},
		parked:  map[Key]parking{},
		stirred: make(chan struct{}, 1),
		hunger:  make(chan struct{}),
	}
}

// Enter begins an office: only what belongs to one is admitted.
func (w *Window) Enter(o Office) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held[o] = true
}

// Admit notes that a message is about to be routed. It says no to what is
// known already.
func (w *Window) Admit(k Key) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || !w.held[k.Office] || w.entries[k] != nil || len(w.parked) > 0 && w.parkedLocked(k) {
		return false
	}
	w.entries[k] = &entry{routing: true}
	return true
}

// Readmit is Admit for a message of which jobs are known; busy are their
// recipients.
func (w *Window) Readmit(k Key) (busy []uint32, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := w.entries[k]
	switch {
	case w.closed || !w.held[k.Office] || e != nil && e.routing:
		return nil, false
	case e == nil:
		e = &entry{}
		w.entries[k] = e
	}
	e.routing = true
	for _, j := range e.jobs {
		busy = append(busy, j.Recipients...)
	}
	return busy, true
}

// Routed ends what Admit began.
func (w *Window) Routed(k Key) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if e := w.entries[k]; e != nil {
		e.routing = false
		w.tidyLocked(k, e)
	}
}

func (w *Window) tidyLocked(k Key, e *entry) {
	if !e.routing && len(e.jobs) == 0 {
		delete(w.entries, k)
	}
}

// Add puts a job into the lane of its site: to a worker that is idle, or to
// those that wait. It is dropped where it would wait beyond the site's share,
// or the window's size. start asks for a worker for the lane.
func (w *Window) Add(j *Job, s *site.Site) (start bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := w.entries[j.Key]
	if w.closed || e == nil {
		return false
	}
	l := w.lanes[s.Key()]
	if l == nil {
		l = &Lane{Site: s}
		w.lanes[s.Key()] = l
	}
	j.Lane, j.since = l, w.now()
	if k := len(l.idle); k > 0 {
		e.jobs = append(e.jobs, j)
		l.idle[k-1] <- j
		l.idle = l.idle[:k-1]
		return false
	}
	start = w.startLocked(l)
	if !start && (l.queue.len() >= w.limits.Jobs/4 || w.waiting >= w.limits.Jobs) {
		l.dropped = true
		w.drops++
		less := l.queue.evict(j.Priority)
		if less == nil {
			return false
		}
		w.waiting--
		w.doneLocked(less)
	}
	if w.waiting >= mostPlans {
		j.Plan = nil
	}
	e.jobs = append(e.jobs, j)
	l.queue.push(j)
	w.waiting++
	return start
}

// startLocked takes the right to one more worker for the lane.
func (w *Window) startLocked(l *Lane) bool {
	if w.closed || w.workers >= w.limits.most() || !l.Site.Begin() {
		return false
	}
	w.workers++
	l.workers++
	return true
}

// Starts lists the lanes that may have one more worker, with that right taken
// for each.
func (w *Window) Starts() []*Lane {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []*Lane
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

// Next takes a job for a worker, which waits for it if it has a connection. It
// is nil when the worker is to end.
func (w *Window) Next(l *Lane, wait time.Duration) *Job {
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
	hand := make(chan *Job, 1)
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
	l.idle = slices.DeleteFunc(l.idle, func(c chan *Job) bool { return c == hand })
	w.mu.Unlock()
	select {
	case j := <-hand: // at the last moment
		return j
	default:
		return nil
	}
}

// Ended gives a worker's right back.
func (w *Window) Ended(l *Lane) {
	w.mu.Lock()
	w.workers--
	l.workers--
	w.mu.Unlock()
	select {
	case w.stirred <- struct{}{}:
	default:
	}
}

// Stirred is sent to when a worker has ended: another lane may have its turn.
func (w *Window) Stirred() <-chan struct{} { return w.stirred }

// Requeue puts a job back that could not be tried at all.
func (w *Window) Requeue(j *Job) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || !w.held[j.Office] {
		w.doneLocked(j)
		return
	}
	j.Plan = nil // it has failed, or is old
	j.Lane.queue.pushFront(j)
	w.waiting++
}

// Done forgets a job. Recipients of it are due again at the time again, of
// which the index does not tell if that is now, or the message has other jobs.
// The zero time means that none are.
func (w *Window) Done(j *Job, again time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.doneLocked(j)
	_, known := w.entries[j.Key]
	if !again.IsZero() && w.held[j.Office] && (known || !again.After(w.now())) {
		w.alarms = append(w.alarms, alarm{again, j.Key})
	}
}

func (w *Window) doneLocked(j *Job) {
	e := w.entries[j.Key]
	if e == nil {
		return
	}
	e.jobs = slices.DeleteFunc(e.jobs, func(x *Job) bool { return x == j })
	w.tidyLocked(j.Key, e)
}

// Rung takes the alarms whose time has come.
func (w *Window) Rung() []Key {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.now()
	var keys []Key
	w.alarms = slices.DeleteFunc(w.alarms, func(a alarm) bool {
		if a.at.After(now) {
			return false
		}
		keys = append(keys, a.key)
		return true
	})
	return keys
}

// Impatient takes jobs that have waited for a failing site for too long, at
// most n.
func (w *Window) Impatient(n int) []*Job {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []*Job
	before := w.now().Add(-w.limits.Patience)
	for _, l := range w.lanes {
		if l.queue.len() == 0 {
			continue
		}
		if _, failing := l.Site.Failing(); !failing {
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
func (w *Window) askLocked(l *Lane) {
	if l.dropped && l.queue.len() < w.limits.Jobs/16 && w.waiting < w.limits.Jobs {
		l.dropped = false
		w.mealLocked()
	}
}

// Appetite is how many sweeps were asked for so far, and what is closed with
// the next.
func (w *Window) Appetite() (meals uint64, next <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.meals, w.hunger
}

// Dropped counts the jobs that found no room so far.
func (w *Window) Dropped() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.drops
}

// Leave ends an office: what waits of it is dropped. What is being done goes
// on, and does not come back.
func (w *Window) Leave(o Office) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.held, o)
	for _, l := range w.lanes {
		before := l.queue.len()
		l.queue.filter(func(j *Job) bool { return j.Office != o })
		w.waiting -= before - l.queue.len()
	}
	for k := range w.entries {
		if k.Office == o {
			delete(w.entries, k)
		}
	}
	w.alarms = slices.DeleteFunc(w.alarms, func(a alarm) bool { return a.key.Office == o })
	maps.DeleteFunc(w.parked, func(k Key, _ parking) bool { return k.Office == o })
}

// Close lets the workers end after what they have in hand.
func (w *Window) Close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for _, l := range w.lanes {
		for _, hand := range l.idle {
			hand <- nil
		}
		l.idle = nil
		l.queue = ranks{}
	}
	w.waiting = 0
}

// Load is what a window holds: jobs, those of them that wait for a connection,
// workers, and lanes whose site is suspended.
type Load struct {
	Jobs, Waiting, Workers, Suspended int
}

// Load tells what the window holds.
func (w *Window) Load() Load {
	w.mu.Lock()
	defer w.mu.Unlock()
	x := Load{Waiting: w.waiting, Workers: w.workers}
	for _, e := range w.entries {
		x.Jobs += len(e.jobs)
	}
	for _, l := range w.lanes {
		if _, _, ok := l.Site.Suspended(); ok {
			x.Suspended++
		}
	}
	return x
}

// Waiting counts the jobs that wait at each site, by its key.
func (w *Window) Waiting() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	waiting := map[string]int{}
	for key, l := range w.lanes {
		if n := l.queue.len(); n > 0 {
			waiting[key] = n
		}
	}
	return waiting
}
