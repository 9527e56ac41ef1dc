package window

import (
	"time"

	"quorumta/delivery/route"
	"quorumta/delivery/site"
	"quorumta/internal/mail"
	"quorumta/queue/state"
)

// Office is a leadership, by which it is: what an earlier one has in flight is
// not known to the next.
type Office struct {
	Shard uint16
	Term  uint64
}

// Key names a message that is known to the window.
type Key struct {
	Office Office
	ID     mail.MessageID
}

// Job is recipients of one message that go to one site together.
type Job struct {
	Key
	// Sender takes turns with the others at a site.
	Sender     string
	Priority   mail.Priority
	Recipients []uint32
	// Handling is what routers have said of the recipients; nil: nothing.
	Handling *mail.Handling
	// Plan is what routing has found; nil where it is too large to be kept, or
	// too many wait.
	Plan *Plan
	// Lane is where Add put it.
	Lane *Lane
	// since is when it began to wait.
	since time.Time
}

// Plan is a message as it was when it was routed, and where it was to go.
type Plan struct {
	Message *state.Message
	Target  route.Target
	Router  string
	// At is when it was asked for.
	At time.Time
}

// mostPlans is how many jobs may wait with their plans, which are large.
const mostPlans = 1000

// Lane is the queue of a site. Site alone is for others than the window.
type Lane struct {
	Site *site.Site
	// queue is what waits.
	queue ranks
	// idle are the workers with an open connection and nothing to send, the
	// one that began to wait last at the end.
	idle []chan *Job
	// workers counts them, idle or not.
	workers int
	// dropped: jobs did not fit; a sweep of the index will find them.
	dropped bool
}

// entry is a message of which something is being done.
type entry struct {
	// routing: its recipients are being routed.
	routing bool
	jobs    []*Job
}

// alarm brings a message back to routing: at that time recipients of it are
// due while others are still in the window.
type alarm struct {
	at  time.Time
	key Key
}
