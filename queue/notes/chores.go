package notes

import (
	"context"
	"hash/fnv"
	"maps"
	"sync"
	"time"

	"quorumta/queue/call"
	"quorumta/queue/clock"
	"quorumta/queue/event"
	"quorumta/queue/state"
	"quorumta/queue/state/notes"
)

const (
	callNotes = "queue.notes"
	// every is how often shards without a replica here are asked, and notes
	// that are not on record are tried again; tidyEvery how often the leader
	// of a shard looks for what has ended, and for what belongs elsewhere.
	every     = time.Second
	soon      = 100 * time.Millisecond // while not all is known
	tidyEvery = 10 * time.Second
	// tryTime bounds one question, and one more try to record.
	tryTime = 3 * time.Second
	// mostTidied bounds what is tidied of a shard at a time.
	mostTidied = 200
)

// question asks for the notes of a shard; Sum is that of what is known.
type question struct {
	Shard uint16 `json:"shard"`
	Sum   uint64 `json:"sum"`
}

// answer is all of them, or that they are the same.
type answer struct {
	Same  bool      `json:"same,omitempty"`
	Notes []carried `json:"notes,omitempty"`
}

// carried is a note on its way; its strings may hold any bytes. Times are
// milliseconds since 1970, 0 for none.
type carried struct {
	Key   []byte `json:"key"`
	Value []byte `json:"value"`
	By    []byte `json:"by,omitempty"`
	Why   []byte `json:"why,omitempty"`
	At    int64  `json:"at"`
	Until int64  `json:"until,omitempty"`
}

// Handlers are the methods that other nodes call, by name.
func (b *Board) Handlers() map[string]call.Handler {
	return map[string]call.Handler{callNotes: call.Answer(b.serve)}
}

func (b *Board) serve(_ context.Context, q question) (answer, error) {
	here, err := b.read(q.Shard)
	if err != nil {
		return answer{}, err
	}
	if sum(here) == q.Sum {
		return answer{Same: true}, nil
	}
	var a answer
	for _, n := range here {
		c := carried{Key: []byte(n.Key), Value: []byte(n.Value), By: []byte(n.By), Why: []byte(n.Why), At: n.At.UnixMilli()}
		if !n.Until.IsZero() {
			c.Until = n.Until.UnixMilli()
		}
		a.Notes = append(a.Notes, c)
	}
	return a, nil
}

// read reads this node's replica.
func (b *Board) read(shard uint16) (map[string]Note, error) {
	here := map[string]Note{}
	err := b.o.View(shard, func(r state.Reader) {
		notes.Each(r, "", func(n Note) bool {
			here[n.Key] = n
			return true
		})
	})
	return here, err
}

// sum is the same for the same notes, in whatever order.
func sum(all map[string]Note) uint64 {
	total := uint64(1)
	for key, n := range all {
		h := fnv.New64a()
		_, _ = h.Write([]byte(key + "\x00" + n.Value))
		total += mix(h.Sum64() ^ uint64(n.At.UnixMilli())<<20 ^ uint64(n.Until.UnixMilli()))
	}
	return total
}

// Run keeps the board up to date until ctx ends.
func (b *Board) Run(ctx context.Context) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	var tidied time.Time
	for ctx.Err() == nil {
		b.refresh(ctx)
		b.again(ctx)
		if now := time.Now(); now.Sub(tidied) >= tidyEvery {
			tidied = now
			b.tidy(ctx)
		}
		if !b.Known() {
			clock.Pause(ctx, soon)
			continue
		}
		select {
		case <-ctx.Done():
		case <-b.stir:
		case <-tick.C:
		}
	}
}

// refresh reads the shards that were not read, asks for those that are not
// here, and drops those that there are not any more.
func (b *Board) refresh(ctx context.Context) {
	shards := b.o.Shards()
	known := map[uint16]bool{}
	var asking sync.WaitGroup
	for _, shard := range shards {
		known[shard] = true
		if b.o.View(shard, func(state.Reader) {}) != nil {
			asking.Go(func() { b.ask(ctx, shard) })
			continue
		}
		b.mu.Lock()
		read, sure, led := b.sheetLocked(shard).read, b.sheetLocked(shard).sure, b.o.Led(shard)
		b.mu.Unlock()
		if !read || !sure && led {
			end := b.watch(shard)
			if all, err := b.read(shard); err == nil {
				b.take(shard, all)
				sure = sure || led && b.o.Led(shard)
				b.trust(shard, sure)
			}
			end()
		}
		if !sure && !led { // this replica may be behind
			asking.Go(func() { b.ask(ctx, shard) })
		}
	}
	asking.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(shards) > 0 {
		maps.DeleteFunc(b.sheets, func(shard uint16, _ *sheet) bool { return !known[shard] })
	}
}

// ask asks for the notes of a shard that has no replica here: its leader, or
// any other node that has one.
func (b *Board) ask(ctx context.Context, shard uint16) {
	defer b.watch(shard)()
	b.mu.Lock()
	known := sum(b.sheetLocked(shard).notes)
	b.mu.Unlock()
	nodes, leader, began := b.o.Others(), b.o.Leader(shard), b.o.Now()
	if leader != "" {
		nodes = append([]string{leader}, nodes...)
	}
	ctx, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	for _, node := range nodes {
		a, err := call.Ask[question, answer](ctx, b.o.Call, node, callNotes, question{shard, known})
		if err != nil {
			continue
		}
		if !a.Same {
			b.take(shard, received(a.Notes))
		}
		if node == leader {
			b.seen(shard, began)
			b.trust(shard, true)
		}
		return
	}
}

// trust notes whether what is known of a shard is what its leader knew.
func (b *Board) trust(shard uint16, sure bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.sheetLocked(shard)
	s.sure = s.sure || sure
}

// seen forgets the notes of this node that were on record before the leader of
// their home was asked.
func (b *Board) seen(shard uint16, asked time.Time) {
	shards := b.o.Shards()
	b.mu.Lock()
	defer b.mu.Unlock()
	for key, o := range b.own {
		if at, _ := home(shards, key); at == shard && !o.recorded.IsZero() && o.recorded.Before(asked) {
			delete(b.own, key)
			b.changeLocked()
		}
	}
}

func received(list []carried) map[string]Note {
	all := map[string]Note{}
	for _, c := range list {
		n := Note{Key: string(c.Key), Value: string(c.Value), By: string(c.By), Why: string(c.Why), At: time.UnixMilli(c.At).UTC()}
		if c.Until != 0 {
			n.Until = time.UnixMilli(c.Until).UTC()
		}
		all[n.Key] = n
	}
	return all
}

// again tries to record what is not on record, and forgets what has ended or
// was overtaken.
func (b *Board) again(ctx context.Context) {
	now := b.o.Now()
	var waiting []*own
	b.mu.Lock()
	for key, o := range b.own {
		newer, known := b.recordedLocked(key)
		switch {
		case o.busy:
		case o.Ended(now), known && newer.At.After(o.At), !o.recorded.IsZero() && now.Sub(o.recorded) > tidyEvery:
			delete(b.own, key)
			b.changeLocked()
		case o.recorded.IsZero():
			o.busy = true
			waiting = append(waiting, o)
		}
	}
	b.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	for _, o := range waiting {
		_ = b.record(ctx, o) // or later
	}
}

// tidy ends, as the leader of their shard, the notes whose time is over, and
// brings home those whose home is elsewhere since shards have come or gone.
func (b *Board) tidy(ctx context.Context) {
	now, shards := b.o.Now(), b.o.Shards()
	ctx, cancel := context.WithTimeout(ctx, tidyEvery)
	defer cancel()
	for _, shard := range shards {
		if !b.o.Led(shard) {
			continue
		}
		var over, astray []Note
		b.mu.Lock()
		for _, n := range b.sheetLocked(shard).notes {
			at, _ := home(shards, n.Key)
			switch {
			case len(over)+len(astray) >= mostTidied:
			case n.Ended(now):
				over = append(over, n)
			case at != shard:
				astray = append(astray, n)
			}
		}
		b.mu.Unlock()
		if b.o.Trusted() {
			for _, n := range over {
				b.end(ctx, shard, &event.Unnoted{Key: n.Key, Until: n.Until})
			}
		}
		for _, n := range astray {
			b.bringHome(ctx, shard, n)
		}
	}
}

// bringHome moves a note to its home, unless a newer one is there.
func (b *Board) bringHome(ctx context.Context, shard uint16, n Note) {
	b.mu.Lock()
	newest, _ := b.recordedLocked(n.Key)
	b.mu.Unlock()
	moved := newest != n
	if !moved {
		moved = b.propose(ctx, &own{Note: n}) == nil
	}
	if moved {
		b.end(ctx, shard, &event.Unnoted{Key: n.Key})
	}
}

// end proposes the end of a note, once: it is looked for again.
func (b *Board) end(ctx context.Context, shard uint16, e *event.Unnoted) {
	g := event.Group{ID: b.o.Draw(shard), Events: []event.Event{e}}
	if b.o.Known(g) == nil {
		b.o.Propose(ctx, shard, g)
	}
}
