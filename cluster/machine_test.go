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
}

func (r *register) Apply(view cluster.View, batch cluster.Batch, entry cluster.Entry) []cluster.Result {
	if bytes.Equal(entry.Data, []byte("panic")) {
		panic("as told")
	}
	key, value, _ := bytes.Cut(entry.Data, []byte("="))
	count := append([]byte("count/"), key...)
	times := byte(1)
	if n, ok := view.Get(count); ok {
		times = n[0] + 1
	}
	batch.Set(count, []byte{times})
	batch.Set(append([]byte("key/"), key...), value)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.applied++
	return []cluster.Result{cluster.Result(times)}
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
