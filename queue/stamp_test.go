package queue

import (
	"sync/atomic"
	"testing"
	"time"

	"quorumta/queue/state"
)

// PROTOCOL 20: stamps never go back, so one from a clock that jumped would put
// off all that comes after it, on every node, until real time has come there.
func TestAClockThatJumpsPutsNothingOff(t *testing.T) {
	var ahead atomic.Int64
	h := open(t, 1, Options{Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }})
	o := h.office()
	h.submit([]byte("before\r\n"), "a@b.example")
	ahead.Store(int64(24 * time.Hour))
	h.submit([]byte("meanwhile\r\n"), "a@b.example")
	ahead.Store(0)
	h.submit([]byte("after\r\n"), "a@b.example")
	if rows := o.Due(state.DueRow{}, time.Now().Add(time.Second), 10); len(rows) != 3 {
		t.Errorf("%d of 3 messages are due", len(rows))
	}
}
