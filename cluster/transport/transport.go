package transport

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

const (
	// Timeout bounds one exchange between two replicas.
	Timeout = 3 * time.Second
	// appendLimit cuts an append, bytes (PROTOCOL 12).
	appendLimit = 4 << 20
	// entryOverhead is about what an entry costs on the wire besides its data.
	entryOverhead = 96
)

var (
	errSilent   = errors.New("withheld: this node's disk is slow")
	errPassive  = errors.New("withheld: this node takes no office")
	errResigned = errors.New("withheld: this node has offered the office to another")
)

// Options says what a transport is; every field is needed.
type Options struct {
	Stream raft.StreamLayer
	Lease  *Lease
	// Term is the replica's current term.
	Term func() uint64
	// Silent and Passive tell whether the node keeps quiet as a leader, and
	// does not want to become one.
	Silent, Passive func() bool
	// Modesty is for how long a passive node leaves the office to others.
	Modesty time.Duration
	// Grace is until when no vote is given: before this restart the node may
	// have promised a leader its patience (PROTOCOL 25).
	Grace time.Time
	// Blank tells whether the replica has nothing yet: it knows no
	// configuration to judge a candidate by, and gives no vote.
	Blank func() bool
	// Member reports whether the peer is in the shard's newest configuration.
	Member func(peer raft.ServerID) bool
	// Holds reports whether the replica's log has the entry, or its snapshot
	// ends there.
	Holds func(index, term uint64) bool
	// Send is called before a snapshot is sent, and returns what is sent in place
	// of data, with the length in args; it may be a Standing.
	Send func(peer raft.ServerID, args *raft.InstallSnapshotRequest, data io.Reader) (io.Reader, error)
	Log  hclog.Logger
}

// Transport is Raft's network transport with our guards around it.
type Transport struct {
	*raft.NetworkTransport
	o         Options
	modesty   modesty
	contacts  contacts
	campaigns campaigns
	resigned  atomic.Uint64 // the newest term that Resign gave up

	rpcs  chan raft.RPC
	done  chan struct{}
	relay sync.WaitGroup
	close func()
}

var (
	_ raft.Transport   = (*Transport)(nil)
	_ raft.WithPreVote = (*Transport)(nil)
	_ raft.WithClose   = (*Transport)(nil)
)

// New opens a transport, which is closed by Close.
func New(o Options) *Transport {
	t := &Transport{
		NetworkTransport: raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
			Logger:          o.Log,
			Stream:          o.Stream,
			MaxPool:         3,
			MaxRPCsInFlight: 1, // a pipeline never resumes after a failed append (#612)
			Timeout:         Timeout,
		}),
		o:         o,
		modesty:   modesty{length: o.Modesty},
		campaigns: campaigns{offers: make(chan offer)},
		rpcs:      make(chan raft.RPC),
		done:      make(chan struct{}),
	}
	t.close = sync.OnceFunc(func() {
		close(t.done)
		_ = t.NetworkTransport.Close()
		t.CloseStreams()
		t.relay.Wait()
	})
	t.relay.Go(t.pass)
	return t
}

// SetHeartbeatHandler does nothing: a heartbeat that is handled beside the
// main loop can raise the term under a leader that is about to append, which
// then writes an entry of a term it does not lead (hashicorp/raft#695).
func (t *Transport) SetHeartbeatHandler(func(raft.RPC)) {}

// AppendEntries implements raft.Transport.
func (t *Transport) AppendEntries(id raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	if err := t.mute(args.Term); err != nil {
		return err
	}
	trim(args)
	t.contacts.acts(args.Term)
	sent := time.Now()
	if err := t.NetworkTransport.AppendEntries(id, target, args, resp); err != nil {
		if !beats(args) {
			t.hold(id, args.Term)
		}
		return err
	}
	t.contacts.answered(id)
	if resp.Success && resp.Term == args.Term {
		t.o.Lease.answered(args.Term, id, sent)
	}
	return nil
}

// hold keeps a request that failed until it may be tried again.
func (t *Transport) hold(id raft.ServerID, term uint64) {
	t.contacts.hold(id, term, func() bool { return t.o.Term() <= term && t.o.Member(id) }, t.done)
}

// mute is why nothing is sent as the leader of the term, or nil. A leader that
// has resigned has no lease any more, and is not to be followed; Raft steps down
// when nobody answers it.
func (t *Transport) mute(term uint64) error {
	switch {
	case t.o.Silent():
		return errSilent
	case term <= t.resigned.Load():
		return errResigned
	}
	return nil
}

// Resign ends the lease of the term for good and sends nothing more as its
// leader: the office is about to be offered to others.
func (t *Transport) Resign(term uint64) {
	t.o.Lease.End(term)
	for old := t.resigned.Load(); old < term && !t.resigned.CompareAndSwap(old, term); {
		old = t.resigned.Load()
	}
}

// beats reports whether the append is a heartbeat, which Raft sends beside the
// others and paces better.
func beats(args *raft.AppendEntriesRequest) bool {
	return args.PrevLogEntry == 0 && len(args.Entries) == 0
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
func (t *Transport) TimeoutNow(id raft.ServerID, target raft.ServerAddress, args *raft.TimeoutNowRequest, resp *raft.TimeoutNowResponse) error {
	t.o.Lease.End(t.o.Term())
	return t.NetworkTransport.TimeoutNow(id, target, args, resp)
}

// RequestPreVote implements raft.WithPreVote.
func (t *Transport) RequestPreVote(id raft.ServerID, target raft.ServerAddress, args *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	if t.o.Silent() || (t.o.Passive() && t.modesty.holds(time.Now())) {
		return errPassive
	}
	t.contacts.acts(args.Term)
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
func (t *Transport) Consumer() <-chan raft.RPC { return t.rpcs }

// pass hands on what comes in, but for votes that must not be given.
func (t *Transport) pass() {
	for {
		select {
		case rpc := <-t.NetworkTransport.Consumer():
			if t.withhold(rpc) || t.settled(rpc) {
				continue
			}
			t.note(rpc)
			if !t.give(rpc) {
				return
			}
		case o := <-t.campaigns.offers:
			t.campaign(o)
		case <-t.done:
			return
		}
	}
}

// give waits until Raft's main loop has taken the request; false when the
// transport is closed.
func (t *Transport) give(rpc raft.RPC) bool {
	select {
	case t.rpcs <- rpc:
		return true
	case <-t.done:
		return false
	}
}

// header is that of what this node says.
func (t *Transport) header() raft.RPCHeader {
	return raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(t.LocalAddr()), Addr: []byte(t.LocalAddr())}
}

// withhold answers a request for a vote with no, within the grace and while
// the replica is blank.
func (t *Transport) withhold(rpc raft.RPC) bool {
	header := t.header()
	grace := time.Now().Before(t.o.Grace)
	switch req := rpc.Command.(type) {
	case *raft.RequestVoteRequest:
		// In a transfer the leader itself gives up our promise.
		if grace = grace && !req.LeadershipTransfer; !grace && !t.o.Blank() {
			return false
		}
		rpc.Respond(&raft.RequestVoteResponse{RPCHeader: header, Term: req.Term}, nil)
	case *raft.RequestPreVoteRequest:
		if !grace && !t.o.Blank() {
			return false
		}
		rpc.Respond(&raft.RequestPreVoteResponse{RPCHeader: header, Term: req.Term}, nil)
	default:
		return false
	}
	return true
}

// Close implements raft.WithClose: it ends every connection.
func (t *Transport) Close() error {
	t.close()
	return nil
}
