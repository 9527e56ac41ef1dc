package retry

import "time"

// Warnings are the ages at which a sender is told of a delay, ascending. Behind
// the last of several they go on at its distance from the one before: 4h, 8h, 1d
// is followed by 1d16h, 2d8h, and so on, as Exim does. A single one stands alone.
type Warnings []time.Duration

// Due reports whether warning number sent (from 0) is due.
func (w Warnings) Due(accepted time.Time, sent uint32, now time.Time) bool {
	at, ok := w.Next(accepted, sent)
	return ok && !now.Before(at)
}

// Next is when warning number sent will be due; ok is false if there is none.
func (w Warnings) Next(accepted time.Time, sent uint32) (at time.Time, ok bool) {
	n := len(w)
	if uint64(sent) < uint64(n) {
		return accepted.Add(w[sent]), true
	}
	if n < 2 || sent >= mostWarnings {
		return time.Time{}, false
	}
	gap := w[n-1] - w[n-2]
	return accepted.Add(w[n-1] + time.Duration(int(sent)-n+1)*gap), gap > 0
}

// mostWarnings bounds how often a sender hears of one message.
const mostWarnings = 100

// Passed counts the ages reached: after a long stop one warning stands for all
// of them.
func (w Warnings) Passed(accepted time.Time, now time.Time) uint32 {
	var n uint32
	for w.Due(accepted, n, now) {
		n++
	}
	return n
}
