package office

import (
	"sync"

	"quorumta/queue/state"
)

// mostArrivals bounds the messages that are handed on by name.
const mostArrivals = 4096

// arrivals are messages that have just been accepted, so that those who deliver
// need not look for them in the due index. Its methods are safe for concurrent
// use.
type arrivals struct {
	bell chan struct{} // sent to by add

	mu   sync.Mutex
	rows []state.DueRow
}

// add notes a message; false if there are too many: nobody takes them.
func (a *arrivals) add(row state.DueRow) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.rows) >= mostArrivals {
		return false
	}
	a.rows = append(a.rows, row)
	select {
	case a.bell <- struct{}{}:
	default:
	}
	return true
}

// take takes what was noted. The rows taken before are its own again.
func (a *arrivals) take(into []state.DueRow) []state.DueRow {
	a.mu.Lock()
	defer a.mu.Unlock()
	rows := a.rows
	a.rows = into[:0]
	return rows
}

// Arrived is sent to when Arrivals may have something to give. One goroutine
// listens.
func (o *Office) Arrived() <-chan struct{} { return o.arrivals.bell }

// Arrivals takes the messages that this office has seen accepted since the last
// call, by their rows in the due index: they are in the state, and may be gone
// again. It is a short cut, and leaves out what there is no room for. The slice
// into, of an earlier call, is used again.
func (o *Office) Arrivals(into []state.DueRow) []state.DueRow { return o.arrivals.take(into) }
