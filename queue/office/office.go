package office

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/otel/metric"

	"quorumta/internal/mail"
	"quorumta/queue/attempt"
	"quorumta/queue/call"
	"quorumta/queue/event"
	"quorumta/queue/lane"
	"quorumta/queue/state"
)

// Options says what an office works with; every field is needed. The functions
// are called from many goroutines.
type Options struct {
	// Self is this process, as claims name it.
	Self event.Process
	// Propose has an encoded entry committed and applied, with a result for
	// each of its groups. An error that is lane.ErrNotProposed means just that.
	Propose func(ctx context.Context, shard uint16, term uint64, entry []byte) ([]state.Result, error)
	// Call runs a method on another member; Others names those.
	Call   call.Func
	Others func() []string
	// Term is the term of the lead that this node holds and may act in.
	Term func(shard uint16) (uint64, bool)
	// View opens this node's replica as it is now; it is empty where there is
	// none.
	View func(shard uint16) View
	// Spawn runs a goroutine, or reports false if none may be run any more.
	Spawn func(func()) bool
	// Unsettled reports whether the message must not be claimed by this
	// process, because its client was told to send it again.
	Unsettled func(mail.MessageID) bool
	// Level is the level of the format of events that may be used.
	Level    func() int
	Attempts *attempt.Table
	// Buffers has *[]byte, for encoded entries.
	Buffers *sync.Pool
	// Trusted reports whether Now, the wall clock, may decide about mail.
	Trusted func() bool
	Now     func() time.Time
	// SubmitWait, History, UploadTimeout and HoldDoubts are the queue's.
	SubmitWait, History, UploadTimeout time.Duration
	HoldDoubts                         bool
	Counters                           Counters
	Log                                *slog.Logger
}

// View is a replica of a shard at one moment. It is used by one goroutine,
// which closes it.
type View interface {
	state.Reader
	Close()
}

// Counters are what offices count.
type Counters struct {
	Claims, Doubted, Damaged metric.Int64Counter
}

// Office is this node's leadership of one shard in one term: the right to
// claim and deliver its mail.
type Office struct {
	opt   *Options
	shard uint16
	term  uint64
	ctx   context.Context // ends with the office
	leave context.CancelFunc

	// lane is the only way into the log. Lanes for mail, claims and outcomes
	// made entries of two groups each; those that share one cost a fifth less
	// CPU time for each message.
	lane *lane.Lane

	mu      sync.Mutex
	last    time.Time     // of the newest stamp
	changed chan struct{} // closed by wake

	arrivals arrivals
	overlay  overlay
	settling settling
	mended   mended
}

// New begins an office that this node holds from now on.
func New(opt *Options, shard uint16, term uint64) *Office {
	o := &Office{opt: opt, shard: shard, term: term, changed: make(chan struct{})}
	o.arrivals.bell = make(chan struct{}, 1)
	o.ctx, o.leave = context.WithCancel(context.Background())
	o.lane = lane.New(8, opt.Spawn, o.commit)
	return o
}

// End ends the office; what waits in its lane is refused.
func (o *Office) End() {
	o.leave()
	o.lane.Close()
}

// stamp is the time of an entry: never below what was folded or stamped
// before (PROTOCOL 20). What an entry leaves without a due time is due then; so
// a clock that cannot be trusted does not move it on, or all that is stamped
// later would be due when real time has come there.
func (o *Office) stamp() time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.last.IsZero() {
		o.view(func(r state.Reader) { o.last = state.LastTime(r) })
	}
	if now := o.opt.Now(); o.last.IsZero() || now.After(o.last) && o.opt.Trusted() {
		o.last = now
	}
	return o.last
}

// view gives f the state as it is now.
func (o *Office) view(f func(state.Reader)) {
	v := o.opt.View(o.shard)
	defer v.Close()
	f(v)
}

// Context ends with the office.
func (o *Office) Context() context.Context { return o.ctx }

// Shard is the shard led.
func (o *Office) Shard() uint16 { return o.shard }

// Term is the office's term.
func (o *Office) Term() uint64 { return o.term }

// inOffice reports whether the office may act: its lease runs (PROTOCOL 25).
func (o *Office) inOffice() bool {
	term, ok := o.opt.Term(o.shard)
	return ok && term == o.term && o.ctx.Err() == nil
}

// Changed returns a channel that is closed when rows may have appeared in the
// due index since the call, but for those that Arrivals gives: at once due or
// earlier than what was there.
func (o *Office) Changed() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.changed
}

func (o *Office) wake() {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.changed)
	o.changed = make(chan struct{})
}

// Due is state.Due on the office's shard, without what is claimed or being
// claimed. A row whose claim is applied at this very moment may still be in
// it; its Claim is then ErrStale.
func (o *Office) Due(after state.DueRow, until time.Time, limit int) []state.DueRow {
	v := o.opt.View(o.shard)
	defer v.Close()
	var free []state.DueRow
	for len(free) < limit {
		rows := state.Due(v, after, until, limit)
		for _, row := range rows {
			if len(free) < limit && !o.withheld(row.ID) {
				free = append(free, row)
			}
		}
		if len(rows) < limit {
			break
		}
		after = rows[len(rows)-1]
	}
	return free
}

// Message reads an open message of the shard.
func (o *Office) Message(id mail.MessageID) (*state.Message, bool) {
	v := o.opt.View(o.shard)
	defer v.Close()
	return state.Load(v, id)
}

// withheld reports whether the message must not be claimed by this process.
func (o *Office) withheld(id mail.MessageID) bool {
	return o.overlay.has(id) || o.opt.Unsettled(id)
}
