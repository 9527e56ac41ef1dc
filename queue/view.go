package queue

import (
	"quorumta/cluster"
	"quorumta/queue/office"
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
// newer than what is. It is empty where this node has no replica.
func (q *Queue) glance(shard uint16) office.View {
	r := &late{node: q.node, shard: shard}
	if s := q.desk.shard(shard); s != nil {
		r.Rows = &s.recent
		return r
	}
	r.Rows, r.err = &recent.Rows{}, cluster.ErrNoSuchShard
	return r
}

// late is a view that is not opened before something is not remembered; it is
// used by one goroutine.
type late struct {
	*recent.Rows // state.Recaller
	node         *cluster.Node
	shard        uint16
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
		r.view, r.done, r.err = r.node.View(r.shard)
	}
	return r.err == nil
}

// Close implements office.View.
func (r *late) Close() {
	if r.done != nil {
		r.done()
	}
}
