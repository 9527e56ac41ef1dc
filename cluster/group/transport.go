package group

import (
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

const (
	// rpcTimeout bounds one exchange between two replicas.
	rpcTimeout = 3 * time.Second
	// appendLimit cuts an append, bytes (PROTOCOL 12).
	appendLimit = 4 << 20
	// entryOverhead is about what an entry costs on the wire besides its data.
	entryOverhead = 96
)

var (
	errSilent  = errors.New("withheld: this node's disk is slow")
	errPassive = errors.New("withheld: this node takes no office")
)

// transport is Raft's network transport with our guards around it.
type transport struct {
	*raft.NetworkTransport
	lease *lease
	term  func() uint64 // of this replica, now
	// silent and passive tell whether the node keeps quiet as a leader, and
	// does not want to become one.
	silent, passive func() bool
	modesty         modesty
	// grace is until when no vote is given: before this restart the node may
	// have promised a leader its patience (PROTOCOL 25).
	grace time.Time

	rpcs  chan raft.RPC
	done  chan struct{}
	relay sync.WaitGroup
	close func()
}

var (
	_ raft.Transport   = (*transport)(nil)
	_ raft.WithPreVote = (*transport)(nil)
	_ raft.WithClose   = (*transport)(nil)
)

// start makes the wrapper work; the fields above rpcs are set.
func (t *transport) start() {
	t.rpcs, t.done = make(chan raft.RPC), make(chan struct{})
	t.close = sync.OnceFunc(func() {
		close(t.done)
		_ = t.NetworkTransport.Close()
		t.CloseStreams()
		t.relay.Wait()
	})
	t.relay.Go(t.pass)
}

// SetHeartbeatHandler does nothing: a heartbeat that is handled beside the
// main loop can raise the term under a leader that is about to append, which
// then writes an entry of a term it does not lead (hashicorp/raft#695).
func (t *transport) SetHeartbeatHandler(func(raft.RPC)) {}

// AppendEntries implements raft.Transport.
func (t *transport) AppendEntries(id raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	if t.silent() {
		return errSilent
	}
	trim(args)
	sent := time.Now()
	if err := t.NetworkTransport.AppendEntries(id, target, args, resp); err != nil {
		return err
	}
	if resp.Success && resp.Term == args.Term {
		t.lease.answered(args.Term, id, sent)
	}
	return nil
}

// trim cuts an append to appendLimit, in place, because Raft takes the end of
// the same slice for what was stored; and it commits nothing that the append
// does not vouch for: what a follower has beyond it may be another leader's.
func trim(args *raft.AppendEntriesRequest) {
	size := 0
	for i, e := range args.Entries {
		size += len(e.Data) + len(e.Extensions) + entryOverhead
		if size > appendLimit && i > 0 {
			args.Entries = args.Entries[:i]
			break
		}
	}
	covered := args.PrevLogEntry + uint64(len(args.Entries))
	args.LeaderCommitIndex = min(args.LeaderCommitIndex, covered)
}

// TimeoutNow implements raft.Transport. From here on the target may be elected
// at any moment.
func (t *transport) TimeoutNow(id raft.ServerID, target raft.ServerAddress, args *raft.TimeoutNowRequest, resp *raft.TimeoutNowResponse) error {
	t.lease.end(t.term())
	return t.NetworkTransport.TimeoutNow(id, target, args, resp)
}

// RequestPreVote implements raft.WithPreVote.
func (t *transport) RequestPreVote(id raft.ServerID, target raft.ServerAddress, args *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	if t.silent() || (t.passive() && t.modesty.holds(time.Now())) {
		return errPassive
	}
	return t.NetworkTransport.RequestPreVote(id, target, args, resp)
}

// modesty is how a node that drains leaves the office to others: for a while.
// Its log may be the only one that can win, and then it must, to hand over.
type modesty struct {
	length time.Duration

	mu    sync.Mutex // guards the rest
	since time.Time  // the first of these attempts
	last  time.Time
}

// holds reports whether an attempt to become leader is to be dropped.
func (m *modesty) holds(now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now.Sub(m.last) > m.length {
		m.since = now
	}
	m.last = now
	return now.Sub(m.since) < m.length
}

// Consumer implements raft.Transport.
func (t *transport) Consumer() <-chan raft.RPC { return t.rpcs }

// pass hands on what comes in, but for votes within the grace.
func (t *transport) pass() {
	for {
		select {
		case rpc := <-t.NetworkTransport.Consumer():
			if time.Now().Before(t.grace) && t.withhold(rpc) {
				continue
			}
			select {
			case t.rpcs <- rpc:
			case <-t.done:
				return
			}
		case <-t.done:
			return
		}
	}
}

// withhold answers a request for a vote with no.
func (t *transport) withhold(rpc raft.RPC) bool {
	header := raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(t.LocalAddr()), Addr: []byte(t.LocalAddr())}
	switch req := rpc.Command.(type) {
	case *raft.RequestVoteRequest:
		if req.LeadershipTransfer {
			return false // the leader itself gave up our promise
		}
		rpc.Respond(&raft.RequestVoteResponse{RPCHeader: header, Term: req.Term}, nil)
	case *raft.RequestPreVoteRequest:
		rpc.Respond(&raft.RequestPreVoteResponse{RPCHeader: header, Term: req.Term}, nil)
	default:
		return false
	}
	return true
}

// Close implements raft.WithClose: it ends every connection.
func (t *transport) Close() error {
	t.close()
	return nil
}
