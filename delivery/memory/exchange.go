package memory

import (
	"context"
	"sync"
	"time"
)

// Options say who is told. Zero means a default only where it is said.
type Options struct {
	// Name is this node's.
	Name string
	// Others are the names of the other members; nil: there are none. Tell sends
	// one of them a batch and gives its answer. They are called from several
	// goroutines.
	Others func() []string
	Tell   func(ctx context.Context, member string, b Batch) (Batch, error)
	// Now is the wall clock; nil means time.Now.
	Now func() time.Time
}

// Batch is what one node tells another at once.
type Batch struct {
	Entries []Entry `json:"entries,omitempty"`
	// All asks for everything that is known.
	All bool `json:"all,omitempty"`
}

const (
	// pause is how long news wait for company.
	pause = 100 * time.Millisecond
	// mostTold is how many entries go in one batch.
	mostTold = 1000
	// mostAnswered is how many are told to one that starts: hosts before
	// addresses.
	mostAnswered = 10_000
	// tellTime bounds one call.
	tellTime = 2 * time.Second
	// again is how soon a member is asked once more for what it knows.
	again = 5 * time.Second
)

// Run tells the others what is new until ctx ends, after it has asked them for
// what they know.
func (b *Book) Run(ctx context.Context) {
	if b.o.Others == nil {
		return
	}
	var asking sync.WaitGroup
	defer asking.Wait()
	asking.Go(func() { b.learn(ctx) })
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.stirred:
		}
		if !sleep(ctx, pause) {
			return
		}
		for batch := b.unsaid(); len(batch.Entries) > 0; batch = b.unsaid() {
			b.tell(ctx, batch)
		}
	}
}

// learn asks the others until one has answered, or there are none.
func (b *Book) learn(ctx context.Context) {
	for others := b.o.Others(); len(others) > 0; others = b.o.Others() {
		for _, member := range others {
			call, cancel := context.WithTimeout(ctx, tellTime)
			answer, err := b.o.Tell(call, member, Batch{All: true})
			cancel()
			if err == nil {
				b.take(answer.Entries)
				return
			}
		}
		if !sleep(ctx, again) {
			return
		}
	}
}

// tell sends a batch to everybody at once. Who does not answer does without: it
// learns what it needs by a failure of its own, or asks when it starts.
func (b *Book) tell(ctx context.Context, batch Batch) {
	var calls sync.WaitGroup
	for _, member := range b.o.Others() {
		calls.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, tellTime)
			defer cancel()
			_, _ = b.o.Tell(ctx, member, batch)
		})
	}
	calls.Wait()
}

// unsaid are news that nobody was told yet.
func (b *Book) unsaid() Batch {
	b.mu.Lock()
	defer b.mu.Unlock()
	var batch Batch
	for key := range b.news {
		if len(batch.Entries) == mostTold {
			break
		}
		delete(b.news, key)
		if e, ok := b.entries[key]; ok {
			batch.Entries = append(batch.Entries, e)
		}
	}
	return batch
}

// Hear takes what another node tells, and answers what it asks.
func (b *Book) Hear(_ context.Context, batch Batch) (Batch, error) {
	b.take(batch.Entries)
	var answer Batch
	if batch.All {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, hosts := range []bool{true, false} { // hosts matter more
			for key, e := range b.entries {
				if _, host := key.HostName(); host == hosts && len(answer.Entries) < mostAnswered {
					answer.Entries = append(answer.Entries, e)
				}
			}
		}
	}
	return answer, nil
}

// take takes over what is newer than what is known here.
func (b *Book) take(entries []Entry) {
	var good []Entry
	b.mu.Lock()
	now := b.o.Now()
	for _, e := range entries {
		known, ok := b.entries[e.Key]
		if ok && !e.Last.After(known.Last) && !(e.Last.Equal(known.Last) && e.Next.After(known.Next)) {
			continue
		}
		if _, failing := b.getLocked(e.Key, now); failing {
			if e.Gone {
				good = append(good, e)
			} else if known.First.Before(e.First) {
				e.First = known.First
			}
		}
		b.setLocked(e, false)
	}
	back := b.back
	b.mu.Unlock()
	for _, e := range good {
		back(e.With)
	}
}

// sleep is false where ctx has ended.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
