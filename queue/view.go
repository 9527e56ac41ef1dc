package queue

import (
	"quorumta/cluster"
	"quorumta/queue/state"
	"quorumta/queue/state/recent"
)

// view gives f this node's replica of a shard as it is now.
func (q *Queue) view(shard uint16, f func(state.Reader)) error {
	v, done, err := q.node.View(shard)
	if err != nil {
		return err
	}
	defer done()
	f(v)
	return nil
}

// glance is view for who asks after messages of this moment, one question a
// time: what the fold has just written is not read from the store, and may be
// newer than what is.
func (q *Queue) glance(shard uint16, f func(state.Reader)) error {
	s := q.desk.shard(shard)
	if s == nil {
		return cluster.ErrNoSuchShard
	}
	r := late{Rows: &s.recent, open: func() (cluster.View, func(), error) { return q.node.View(shard) }}
	defer r.close()
	f(&r)
	return r.err
}

// late is a view that is not opened before something is not remembered; it is
// used by one goroutine.
type late struct {
	*recent.Rows // state.Recaller
	open         func() (cluster.View, func(), error)
	view         cluster.View
	done         func()
	// err is why it could not be opened; then it is empty.
	err error
}

// Get implements state.Reader.
func (r *late) Get(key []byte) ([]byte, bool) {
	if !r.ready() {
		return nil, false
	}
	return r.view.Get(key)
}

// Scan implements state.Reader.
func (r *late) Scan(lo, hi []byte, f func(key, value []byte) bool) {
	if r.ready() {
		r.view.Scan(lo, hi, f)
	}
}

func (r *late) ready() bool {
	if r.view == nil && r.err == nil {
		r.view, r.done, r.err = r.open()
	}
	return r.err == nil
}

func (r *late) close() {
	if r.done != nil {
		r.done()
	}
}
