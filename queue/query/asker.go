package query

import (
	"context"
	"errors"
	"sync"
	"time"

	"quorumta/queue/call"
	"quorumta/queue/feed"
	"quorumta/queue/state"
)

// queryTime is how long a leader is waited for before this node answers for
// it.
const queryTime = 5 * time.Second

// Options says where answers come from; every field but Filter is needed. The
// functions are called from many goroutines.
type Options struct {
	// Node is this node's name.
	Node string
	// Shards lists the shards, ascending.
	Shards func() []uint16
	// Led reports whether this node leads the shard; Leader is who does, "" if
	// nobody is known to.
	Led    func(shard uint16) bool
	Leader func(shard uint16) string
	Call   call.Func
	// Others names the other members.
	Others func() []string
	// View gives f this node's replica as it is now; it fails where there is
	// none.
	View func(shard uint16, f func(state.Reader)) error
	// Follow follows what this node's replica folds; nil where there is none.
	Follow func(shard uint16) *feed.Follower[state.Record]
	// Spawn runs f, with a context that ends with the queue, or reports false.
	Spawn func(f func(context.Context)) bool
	Now   func() time.Time
	// Filter compiles the expression of a Selection; nil: none is allowed.
	Filter func(expr string) (func(*state.Message) (bool, error), error)
}

// Asker asks the shards.
type Asker struct {
	o        Options
	readings readings
	tally    tally
}

// New makes an asker.
func New(o Options) *Asker { return &Asker{o: o} }

// anyReplica is the end of the names of methods that any replica answers, not
// only the leader's.
const anyReplica = ".any"

// Handlers are the methods that other nodes call, by name.
func (a *Asker) Handlers() map[string]call.Handler {
	return map[string]call.Handler{
		callList:               call.Answer(inOffice(a, a.serveList)),
		callCount:              call.Answer(inOffice(a, a.serveCount)),
		callShow:               call.Answer(inOffice(a, a.serveShow)),
		callList + anyReplica:  call.Answer(a.serveList),
		callCount + anyReplica: call.Answer(a.serveCount),
		callShow + anyReplica:  call.Answer(a.serveShow),
		callRead:               call.Answer(a.serveRead),
		callNext:               call.Answer(a.serveNext),
	}
}

// request is what a shard is asked.
type request interface{ of() uint16 }

// errNotInOffice: whoever asked takes this node for the leader, but it has not
// folded everything yet, or not any more.
var errNotInOffice = errors.New("not in office: this replica may be behind")

// inOffice answers other nodes only while this node leads the shard: one that
// has just won an election, or has just started, does not know all yet.
func inOffice[Q request, R any](a *Asker, serve func(context.Context, Q) (R, error)) func(context.Context, Q) (R, error) {
	return func(ctx context.Context, q Q) (R, error) {
		if !a.o.Led(q.of()) {
			var none R
			return none, errNotInOffice
		}
		return serve(ctx, q)
	}
}

// ErrNoMap: this node has joined, and has not heard yet which shards there are.
var ErrNoMap = errors.New("this node does not know yet which shards there are: ask again in a moment, or ask another node")

// shards are all shards, or ErrNoMap: a newcomer's empty answer would be taken
// for an empty queue.
func (a *Asker) shards() ([]uint16, error) {
	if shards := a.o.Shards(); len(shards) > 0 {
		return shards, nil
	}
	return nil, ErrNoMap
}

// eachShard asks all shards at once, each at its leader. It returns which of
// them answered without it.
func eachShard[Q, R any](ctx context.Context, a *Asker, method string, local func(context.Context, Q) (R, error), ask func(uint16) Q) ([]R, []uint16, error) {
	shards, err := a.shards()
	if err != nil {
		return nil, nil, err
	}
	answers, stale, errs := make([]R, len(shards)), make([]bool, len(shards)), make([]error, len(shards))
	var wg sync.WaitGroup
	for i, id := range shards {
		wg.Go(func() { answers[i], stale[i], errs[i] = atLeader(ctx, a, id, method, local, ask(id)) })
	}
	wg.Wait()
	var old []uint16
	for i, id := range shards {
		if stale[i] {
			old = append(old, id)
		}
	}
	return answers, old, errors.Join(errs...)
}

// atLeader asks the leader of a shard; where there is none in reach, this
// node's replica answers or, if it has none, any other, and the answer may be
// stale.
func atLeader[Q, R any](ctx context.Context, a *Asker, shard uint16, method string, local func(context.Context, Q) (R, error), ask Q) (r R, stale bool, err error) {
	led := a.o.Led(shard)
	if leader := a.o.Leader(shard); !led && leader != "" && leader != a.o.Node {
		if r, err := askNode[Q, R](ctx, a, leader, method, ask); err == nil {
			return r, false, nil
		}
	}
	if r, err = local(ctx, ask); err == nil || a.here(shard) {
		return r, !led, err
	}
	for _, node := range a.o.Others() {
		if r, there := askNode[Q, R](ctx, a, node, method+anyReplica, ask); there == nil {
			return r, true, nil
		}
	}
	return r, true, err
}

func askNode[Q, R any](ctx context.Context, a *Asker, node, method string, ask Q) (R, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTime)
	defer cancel()
	return call.Ask[Q, R](ctx, a.o.Call, node, method, ask)
}

// here reports whether this node has a replica of the shard.
func (a *Asker) here(shard uint16) bool {
	return a.o.View(shard, func(state.Reader) {}) == nil
}
