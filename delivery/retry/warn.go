package retry

import "time"

// Warnings are the ages at which a sender is told of a delay, ascending.
type Warnings []time.Duration

// Due reports whether warning number sent (from 0) is due.
func (w Warnings) Due(accepted time.Time, sent uint32, now time.Time) bool {
	at, ok := w.Next(accepted, sent)
	return ok && !now.Before(at)
}

// Next is when warning number sent will be due; ok is false if there is none.
func (w Warnings) Next(accepted time.Time, sent uint32) (at time.Time, ok bool) {
	if uint64(sent) >= uint64(len(w)) {
		return time.Time{}, false
	}
	return accepted.Add(w[sent]), true
}

// Passed counts the ages reached: after a long stop one warning stands for all
// of them.
func (w Warnings) Passed(accepted time.Time, now time.Time) uint32 {
	var n uint32
	for w.Due(accepted, n, now) {
		n++
	}
	return n
}
