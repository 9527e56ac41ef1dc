package permits

import (
	"context"
	"hash/fnv"
	"strconv"
	"sync"
	"time"

	"quorumta/queue/call"
)

const (
	callAsk  = "queue.permits"
	callHeld = "queue.permits.held"
	// pace is how often the leaders are asked; haste the least time between two
	// questions when something is wanted, or was given up, at once.
	pace  = 250 * time.Millisecond
	haste = 50 * time.Millisecond
	// mostKeys bounds what is asked at once.
	mostKeys = 2000
)

// Options says what a desk works with; every field is needed. The functions are
// called from many goroutines.
type Options struct {
	Node   string
	Others func() []string
	Shards func() []uint16
	// Term is the term in which this node leads the shard, under a lease that
	// runs; Leader names who does.
	Term   func(shard uint16) (uint64, bool)
	Leader func(shard uint16) string
	Call   call.Func
	// Now is a monotonic clock.
	Now func() time.Time
}

// Desk asks for permits, and gives them where this node leads the home shard;
// safe for concurrent use.
type Desk struct {
	o    Options
	bell chan struct{} // sent to by wake
	books

	held    sync.Mutex // of what follows
	permits map[string]*Permit
}

// New makes a desk; nothing is asked before Run.
func New(o Options) *Desk {
	return &Desk{
		o: o, bell: make(chan struct{}, 1), books: books{books: map[uint16]*book{}}, permits: map[string]*Permit{},
	}
}

// Permit is what this node holds of the limit of a key: so many connections, 0
// for no limit, and rates.
func (d *Desk) Permit(key string, connections int) *Permit {
	d.held.Lock()
	defer d.held.Unlock()
	p := d.permits[key]
	if p == nil {
		now := d.o.Now()
		p = &Permit{key: key, desk: d, until: now, seen: now}
		d.permits[key] = p
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.limit = connections
	return p
}

func (d *Desk) all() []*Permit {
	d.held.Lock()
	defer d.held.Unlock()
	list := make([]*Permit, 0, len(d.permits))
	now := d.o.Now()
	for key, p := range d.permits {
		if p.forgettable(now) {
			delete(d.permits, key)
			continue
		}
		list = append(list, p)
	}
	return list
}

func (d *Desk) wake() {
	select {
	case d.bell <- struct{}{}:
	default:
	}
}

// home is the shard that divides a limit.
func home(shards []uint16, key string) (uint16, bool) {
	best, found := "", uint16(0)
	for _, id := range shards {
		if p := place(key, strconv.Itoa(int(id))); best == "" || p < best {
			best, found = p, id
		}
	}
	return found, best != ""
}

// place orders the members, or the shards, for a key: each key otherwise.
func place(key, name string) string {
	h := fnv.New128a()
	_, _ = h.Write([]byte(name + "\x00" + key))
	return string(h.Sum(nil))
}

// question is what a node says and wants of the keys that a shard is home to.
type question struct {
	Shard   uint16   `json:"shard"`
	Node    string   `json:"node"`
	Reports []report `json:"reports"`
}

// answer is a grant for each report, by the leader in the term. No grants:
// somebody else leads.
type answer struct {
	Term   uint64  `json:"term"`
	Grants []Grant `json:"grants"`
}

// inquiry asks what a node holds of what a shard is home to; Term is that of
// the new leader.
type inquiry struct {
	Shard uint16 `json:"shard"`
	Term  uint64 `json:"term"`
}

// holdings is the answer.
type holdings struct {
	Reports []report `json:"reports"`
}

// Handlers are the methods that other nodes call, by name.
func (d *Desk) Handlers() map[string]call.Handler {
	return map[string]call.Handler{callAsk: call.Answer(d.serve), callHeld: call.Answer(d.serveHeld)}
}

// Run asks until ctx ends.
func (d *Desk) Run(ctx context.Context) {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for ctx.Err() == nil {
		d.ask(ctx)
		rest := time.NewTimer(haste)
		select {
		case <-ctx.Done():
		case <-rest.C:
		}
		rest.Stop()
		select {
		case <-ctx.Done():
		case <-d.bell:
		case <-tick.C:
		}
	}
}

// ask asks all leaders of homes at once.
func (d *Desk) ask(ctx context.Context) {
	now, shards := d.o.Now(), d.o.Shards()
	asked := map[string]*Permit{}
	byShard := map[uint16]*question{}
	for _, p := range d.all() {
		r, tell := p.report(now)
		shard, ok := home(shards, p.key)
		if !tell || !ok {
			continue
		}
		q := byShard[shard]
		if q == nil {
			q = &question{Shard: shard, Node: d.o.Node}
			byShard[shard] = q
		}
		if len(q.Reports) < mostKeys {
			q.Reports = append(q.Reports, r)
			asked[p.key] = p
		}
	}
	var asking sync.WaitGroup
	for _, q := range byShard {
		asking.Go(func() {
			a, err := d.askLeader(ctx, *q)
			if err != nil || len(a.Grants) != len(q.Reports) {
				return
			}
			for i, r := range q.Reports {
				asked[r.Key].take(a.Grants[i], now, a.Term)
			}
		})
	}
	asking.Wait()
}

func (d *Desk) askLeader(ctx context.Context, q question) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	leader := d.o.Leader(q.Shard)
	if _, led := d.o.Term(q.Shard); led || leader == "" || leader == d.o.Node {
		return d.serve(ctx, q)
	}
	return call.Ask[question, answer](ctx, d.o.Call, leader, callAsk, q)
}

// serve divides, where this node leads.
func (d *Desk) serve(ctx context.Context, q question) (answer, error) {
	term, ok := d.o.Term(q.Shard)
	if !ok {
		return answer{}, nil
	}
	d.settle(ctx, q.Shard, term)
	a := answer{Term: term, Grants: make([]Grant, len(q.Reports))}
	nodes := len(d.o.Others()) + 1
	d.books.mu.Lock()
	b := d.books.books[q.Shard]
	for i, r := range q.Reports {
		a.Grants[i] = b.give(q.Node, r, nodes, d.o.Now())
	}
	d.books.mu.Unlock()
	if now, ok := d.o.Term(q.Shard); !ok || now != term {
		return answer{}, nil // deposed meanwhile
	}
	return a, nil
}

// settle begins the book of an office, and learns from all members what they
// hold of earlier ones.
func (d *Desk) settle(ctx context.Context, shard uint16, term uint64) {
	d.books.mu.Lock()
	b := d.books.books[shard]
	if b != nil && b.office == term {
		d.books.mu.Unlock()
		return
	}
	b = &book{office: term, began: d.o.Now(), keys: map[string]map[string]*holder{}}
	d.books.books[shard] = b
	d.books.mu.Unlock()

	members := append(d.o.Others(), d.o.Node)
	told := make([]holdings, len(members))
	errs := make([]error, len(members))
	var asking sync.WaitGroup
	for i, node := range members {
		asking.Go(func() {
			if node == d.o.Node {
				told[i], errs[i] = d.serveHeld(ctx, inquiry{shard, term})
				return
			}
			told[i], errs[i] = call.Ask[inquiry, holdings](ctx, d.o.Call, node, callHeld, inquiry{shard, term})
		})
	}
	asking.Wait()
	d.books.mu.Lock()
	defer d.books.mu.Unlock()
	settled, now := true, d.o.Now()
	for i, node := range members {
		settled = settled && errs[i] == nil
		for _, r := range told[i].Reports {
			if b.keys[r.Key][node] == nil { // else it has said more since
				b.told(node, r, now)
			}
		}
	}
	b.settled = b.settled || settled
}

// serveHeld tells a new leader what this node holds.
func (d *Desk) serveHeld(_ context.Context, q inquiry) (holdings, error) {
	var all holdings
	now, shards := d.o.Now(), d.o.Shards()
	for _, p := range d.all() {
		if shard, _ := home(shards, p.key); shard != q.Shard {
			continue
		}
		p.deposed(q.Term)
		if r, tell := p.report(now); tell {
			all.Reports = append(all.Reports, r)
		}
	}
	return all, nil
}
