package cluster

import (
	"context"
	"fmt"
	"sync/atomic"
)

// health is whether the node can be trusted, and how it is ended if not.
type health struct {
	failed atomic.Pointer[error] // why the node is not trusted any longer
	ended  atomic.Pointer[error] // why it ends by itself
	hangUp atomic.Pointer[context.CancelFunc]
}

// close closes the port, and Run ends with it.
func (h *health) close() {
	if hangUp := h.hangUp.Load(); hangUp != nil {
		(*hangUp)()
	}
}

// ending is why the node ended by itself, or nil.
func (h *health) ending() error {
	if err := h.ended.Load(); err != nil {
		return *err
	}
	return nil
}

// fatal says that the node's storage cannot be trusted any longer. Nothing is
// acknowledged afterwards, and the port closes: a process that cannot end
// would keep it open.
func (n *Node) fatal(err error) {
	if !n.health.failed.CompareAndSwap(nil, &err) {
		return
	}
	n.health.close()
	n.o.Fatal(err)
}

// end has Run end with the error: the cluster does without this node.
func (n *Node) end(err error) {
	if !n.health.failed.CompareAndSwap(nil, &err) {
		return
	}
	n.o.Log.Error("the node ends", "err", err)
	n.health.ended.Store(&err)
	n.health.close()
}

// err is why the node is not trusted any longer, or nil.
func (n *Node) err() error {
	if err := n.health.failed.Load(); err != nil {
		return fmt.Errorf("%w: %w", ErrStopped, *err)
	}
	return nil
}

// Healthy reports whether the node should take mail: its storage works, and
// the disk's writes return within a second.
func (n *Node) Healthy() bool { return n.err() == nil && !n.disk.Slow() }
