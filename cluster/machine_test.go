package cluster_test

import (
	"bytes"
	"sync"

	"quorumta/cluster"
)

// register is a machine whose entries are "key=value". It counts in the state
// how often each entry was applied.
type register struct {
	mu      sync.Mutex
	term    uint64 // 0: does not lead
	leads   int
	applied int
	// A replica that is broken folds another result, or writes another value.
	result, value byte
	// empty is what the replica says of its shard.
	empty  bool
	closed bool
	// hold, where it is not nil, holds the fold of every entry until it is
	// closed.
	hold chan struct{}
}

// Empty implements cluster.Emptier.
func (r *register) Empty(view cluster.View) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, late := view.Get([]byte("key/late"))
	return r.empty && !late
}

// Close implements cluster.Closer.
func (r *register) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
}

// set changes the machine while it runs.
func (r *register) set(f func(r *register)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(r)
}

func (r *register) Apply(view cluster.View, batch cluster.Batch, entry cluster.Entry) []cluster.Result {
	if bytes.Equal(entry.Data, []byte("panic")) {
		panic("as told")
	}
	r.mu.Lock()
	hold := r.hold
	r.mu.Unlock()
	if hold != nil {
		<-hold
	}
	key, value, _ := bytes.Cut(entry.Data, []byte("="))
	count := append([]byte("count/"), key...)
	times := byte(1)
	if n, ok := view.Get(count); ok {
		times = n[0] + 1
	}
	batch.Set(count, []byte{times})
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.value != 0 {
		value = []byte{r.value}
	}
	batch.Set(append([]byte("key/"), key...), value)
	r.applied++
	return []cluster.Result{cluster.Result(times + r.result)}
}

func (r *register) Lead(term uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.term != 0 {
		panic("Lead without Unlead")
	}
	r.term = term
	r.leads++
}

func (r *register) Unlead() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.term == 0 {
		panic("Unlead without Lead")
	}
	r.term = 0
}
