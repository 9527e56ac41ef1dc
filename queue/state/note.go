package state

import (
	"time"

	"quorumta/internal/mail"
	"quorumta/queue/event"
	"quorumta/queue/state/notes"
)

// note folds a note, or the end of one. What somebody ordered is history: it is
// kept like that of a message that ended at once.
func (f *folding) note(id mail.MessageID, e event.Event, at time.Time) Result {
	if _, known := f.known(id); known {
		return Conflict
	}
	result, ordered := notes.Fold(f.r, f.w, e, at)
	if ordered && result == Applied {
		f.closed.rows = append(f.closed.rows[:0], f.record(at, e))
		f.bury(id, at)
	}
	return result
}
