package window

import (
	"time"

	"quorumta/delivery/site"
)

const (
	// parkTime is how long a message that has to wait is not looked at, at most:
	// another recipient of it may have become due.
	parkTime = time.Minute
	// mostParked bounds the messages that are known to wait; others are looked at
	// with each sweep.
	mostParked = 200_000
)

// parking is that a message is not to be looked at before a time, and the site
// that its mail would go to, if that is why.
type parking struct {
	until time.Time
	site  *site.Site
}

// Park notes that a message has to wait by somebody's order, though it is due:
// it is not admitted before Unpark, or for some time. s is the site that the order
// is about; nil: it is about the message.
func (w *Window) Park(k Key, s *site.Site) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.parked) < mostParked {
		w.parked[k] = parking{w.now().Add(parkTime), s}
	}
}

// Unpark has all offices look at what waits again: orders have changed.
func (w *Window) Unpark() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.parked) == 0 {
		return
	}
	clear(w.parked)
	w.mealLocked()
}

// parkedLocked reports whether a message is to be left alone.
func (w *Window) parkedLocked(k Key) bool {
	p, ok := w.parked[k]
	if ok && !w.now().Before(p.until) {
		delete(w.parked, k)
		return false
	}
	return ok
}

// Parked is the site that a parked message waits for; nil if it is not parked, or
// not for a site.
func (w *Window) Parked(k Key) *site.Site {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.parked[k].site
}

// mealLocked has all offices sweep.
func (w *Window) mealLocked() {
	w.meals++
	close(w.hunger)
	w.hunger = make(chan struct{})
}
