package transport

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// ErrLate: the term in which the office was offered is over.
var ErrLate = errors.New("the term in which the office was offered is over")

// errUnasked: a vote is asked for with a privilege that was not given for its
// term.
var errUnasked = errors.New("withheld: the leader has not offered the office in this term")

// campaigns bounds what an offer of the office is good for. Who was offered it
// asks for votes with the privilege of a transfer: the voters then forget their
// patience with the leader they know. A leader lets go of its lease before it
// offers the office, so that is right in the term that follows its own, and in
// no other: a leader that was elected meanwhile counts on that patience.
type campaigns struct {
	offers chan offer // taken by pass
	// granted is the one term in which votes may be asked for with privilege.
	granted atomic.Uint64
	// led is the newest term of which a leader was heard. It belongs to pass.
	led uint64
}

// offer is the office of the term after.
type offer struct {
	after uint64
	taken chan error // holds one
}

// Campaign has this node stand for election at once: the leader of the term has
// let go of its lease and offers the office. It fails with ErrLate when there
// may be another leader by now.
func (t *Transport) Campaign(ctx context.Context, term uint64) error {
	o := offer{term, make(chan error, 1)}
	select {
	case t.campaigns.offers <- o:
	case <-ctx.Done():
		return ctx.Err()
	case <-t.done:
		return raft.ErrTransportShutdown
	}
	select {
	case err := <-o.taken:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-t.done:
		return raft.ErrTransportShutdown
	}
}

// campaign tells Raft of an offer. It is called by pass: what was passed on
// before is known, so this node has answered no later leader's append, and what
// comes after waits.
func (t *Transport) campaign(o offer) {
	if t.campaigns.led > o.after || t.o.Term() != o.after {
		o.taken <- ErrLate
		return
	}
	t.campaigns.granted.Store(o.after + 1)
	now := &raft.TimeoutNowRequest{RPCHeader: t.header()}
	if !t.give(raft.RPC{Command: now, RespChan: make(chan raft.RPCResponse, 1)}) {
		o.taken <- raft.ErrTransportShutdown
		return
	}
	o.taken <- nil
}

// note remembers what a request that is passed on says of leaders.
func (t *Transport) note(rpc raft.RPC) {
	switch req := rpc.Command.(type) {
	case *raft.AppendEntriesRequest:
		t.campaigns.led = max(t.campaigns.led, req.Term)
	case *raft.InstallSnapshotRequest:
		t.campaigns.led = max(t.campaigns.led, req.Term)
	case *raft.TimeoutNowRequest: // it comes from the leader of the term
		t.campaigns.granted.Store(t.o.Term() + 1)
	}
}

// RequestVote implements raft.Transport.
func (t *Transport) RequestVote(id raft.ServerID, target raft.ServerAddress, args *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	if args.LeadershipTransfer && args.Term != t.campaigns.granted.Load() {
		return errUnasked
	}
	t.contacts.acts(args.Term)
	return t.NetworkTransport.RequestVote(id, target, args, resp)
}
