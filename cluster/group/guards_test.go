package group

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"quorumta/internal/sim"
)

// join opens the transports of two replicas that do not run, and asks f to use
// them: from the first to the second.
func join(t *testing.T, f func(from, to *transport)) {
	inBubble(t, 2, func(t *testing.T, _ *sim.Network, all []*bench) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		ended := make(chan error, 2)
		var both []*transport
		for _, b := range all {
			go func() { ended <- b.port.Run(ctx) }()
			w := &transport{
				NetworkTransport: raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
					Logger: newLogger(b.o.Log), Stream: b.o.Connect(func(string) {}), MaxPool: 1, MaxRPCsInFlight: 1, Timeout: rpcTimeout,
				}),
				lease:   newLease(800*time.Millisecond, []raft.ServerID{"n2/i"}),
				term:    func() uint64 { return 5 },
				silent:  func() bool { return b.silent },
				passive: func() bool { return b.passive },
				modesty: modesty{length: 3 * time.Second},
				grace:   time.Now().Add(time.Second),
			}
			w.start()
			both = append(both, w)
		}
		synctest.Wait()
		f(both[0], both[1])
		for _, w := range both {
			w.Close()
		}
		cancel()
		<-ended
		<-ended
	})
}

func heartbeat(term uint64) *raft.AppendEntriesRequest {
	return &raft.AppendEntriesRequest{RPCHeader: raft.RPCHeader{ProtocolVersion: 3, Addr: []byte("n1/i")}, Term: term}
}

// A heartbeat goes the way of every request, through the main loop, whatever
// handler Raft installs for it (hashicorp/raft#695).
func TestHeartbeatsGoThroughTheMainLoop(t *testing.T) {
	join(t, func(from, to *transport) {
		to.SetHeartbeatHandler(func(rpc raft.RPC) {
			rpc.Respond(nil, errors.New("answered beside the main loop"))
		})
		go func() {
			rpc := <-to.Consumer()
			rpc.Respond(&raft.AppendEntriesResponse{Term: 5, Success: true}, nil)
		}()
		var resp raft.AppendEntriesResponse
		if err := from.AppendEntries("n2/i", "n2/i", heartbeat(5), &resp); err != nil {
			t.Error(err)
		}
	})
}

// The lease counts from when an append was sent, not from when its answer was
// read; an answer of another term, or a refusal, renews nothing.
func TestLeaseCountsFromSending(t *testing.T) {
	join(t, func(from, to *transport) {
		answer := func(delay time.Duration, resp raft.AppendEntriesResponse) {
			rpc := <-to.Consumer()
			time.Sleep(delay)
			rpc.Respond(&resp, nil)
		}
		for what, resp := range map[string]raft.AppendEntriesResponse{
			"a refusal":            {Term: 5},
			"another term's leave": {Term: 6, Success: true},
		} {
			go answer(0, resp)
			if err := from.AppendEntries("n2/i", "n2/i", heartbeat(5), &raft.AppendEntriesResponse{}); err != nil {
				t.Fatal(err)
			}
			if from.lease.runs(5, time.Now()) {
				t.Errorf("%s renews the lease", what)
			}
		}
		go answer(500*time.Millisecond, raft.AppendEntriesResponse{Term: 5, Success: true})
		sent := time.Now()
		if err := from.AppendEntries("n2/i", "n2/i", heartbeat(5), &raft.AppendEntriesResponse{}); err != nil {
			t.Fatal(err)
		}
		if !from.lease.runs(5, sent.Add(799*time.Millisecond)) || from.lease.runs(5, sent.Add(800*time.Millisecond)) {
			t.Error("the lease does not end 800 ms after sending")
		}
		if from.lease.runs(4, sent) || from.lease.runs(6, sent) {
			t.Error("another term has the lease")
		}
		// Offering the lead to another ends it before the offer is sent.
		go func() {
			rpc := <-to.Consumer()
			if from.lease.runs(5, sent) {
				t.Error("the lease runs while the offer is under way")
			}
			rpc.Respond(&raft.TimeoutNowResponse{}, nil)
		}()
		if err := from.TimeoutNow("n2/i", "n2/i", &raft.TimeoutNowRequest{}, &raft.TimeoutNowResponse{}); err != nil {
			t.Fatal(err)
		}
	})
}

func TestLeaseNeedsAMajority(t *testing.T) {
	start := time.Now()
	for _, c := range []struct {
		others   int
		answered []time.Duration // when each answered, before start
		runs     bool
	}{
		{0, nil, true},
		{1, nil, false},
		{1, []time.Duration{0}, true},
		{2, []time.Duration{0}, true},
		{2, []time.Duration{900 * time.Millisecond, 700 * time.Millisecond}, true},
		{2, []time.Duration{900 * time.Millisecond, 900 * time.Millisecond}, false},
		{4, []time.Duration{0}, false},
		{4, []time.Duration{0, 900 * time.Millisecond}, false},
		{4, []time.Duration{0, 700 * time.Millisecond}, true},
	} {
		var ids []raft.ServerID
		for i := range c.others {
			ids = append(ids, raft.ServerID(fmt.Sprint(i)))
		}
		l := newLease(800*time.Millisecond, ids)
		for i, ago := range c.answered {
			l.answered(3, ids[i], start.Add(-ago))
			l.answered(2, ids[i], start) // late, of a term gone by
		}
		if got := l.runs(3, start); got != c.runs {
			t.Errorf("%d others, answered before %v: runs is %t", c.others, c.answered, got)
		}
		if l.end(3); l.runs(3, start) {
			t.Errorf("%d others: a lease that was ended runs", c.others)
		}
	}
}

// An append is cut by bytes, at least one entry is left, and it never commits
// more than it vouches for.
func TestAppendsAreCut(t *testing.T) {
	entry := func(i uint64, size int) *raft.Log { return &raft.Log{Index: i, Data: make([]byte, size)} }
	args := &raft.AppendEntriesRequest{PrevLogEntry: 9, LeaderCommitIndex: 100}
	for i := uint64(10); i < 74; i++ {
		args.Entries = append(args.Entries, entry(i, 512<<10))
	}
	trim(args)
	if n := len(args.Entries); n != 7 || args.LeaderCommitIndex != 16 {
		t.Errorf("%d entries of half a MiB, commit %d", n, args.LeaderCommitIndex)
	}
	args = &raft.AppendEntriesRequest{PrevLogEntry: 9, LeaderCommitIndex: 8, Entries: []*raft.Log{entry(10, 5<<20)}}
	trim(args)
	if len(args.Entries) != 1 || args.LeaderCommitIndex != 8 {
		t.Errorf("one entry beyond the limit: %d, commit %d", len(args.Entries), args.LeaderCommitIndex)
	}
	args = &raft.AppendEntriesRequest{PrevLogEntry: 9, LeaderCommitIndex: 12}
	if trim(args); args.LeaderCommitIndex != 9 {
		t.Errorf("an append without entries commits %d", args.LeaderCommitIndex)
	}
}

// Before this start the node may have promised a leader its patience: no vote
// is given until that has run out, but to whom the leader itself named.
func TestVotesAreWithheldAfterARestart(t *testing.T) {
	join(t, func(from, to *transport) {
		grant := func() {
			rpc := <-to.Consumer()
			switch rpc.Command.(type) {
			case *raft.RequestVoteRequest:
				rpc.Respond(&raft.RequestVoteResponse{Term: 9, Granted: true}, nil)
			case *raft.RequestPreVoteRequest:
				rpc.Respond(&raft.RequestPreVoteResponse{Term: 9, Granted: true}, nil)
			}
		}
		vote := func(transfer bool) bool {
			var resp raft.RequestVoteResponse
			if err := from.RequestVote("n2/i", "n2/i", &raft.RequestVoteRequest{Term: 9, LeadershipTransfer: transfer}, &resp); err != nil {
				t.Fatal(err)
			}
			return resp.Granted
		}
		preVote := func() bool {
			var resp raft.RequestPreVoteResponse
			if err := from.RequestPreVote("n2/i", "n2/i", &raft.RequestPreVoteRequest{Term: 9}, &resp); err != nil {
				t.Fatal(err)
			}
			return resp.Granted
		}
		if vote(false) || preVote() {
			t.Error("a vote within the heartbeat time-out")
		}
		go grant()
		if !vote(true) {
			t.Error("no vote for whom the leader named")
		}
		time.Sleep(time.Second)
		go grant()
		if !vote(false) {
			t.Error("no vote after the time-out")
		}
		go grant()
		if !preVote() {
			t.Error("no pre-vote after the time-out")
		}
	})
}

// A silent node sends no appends and does not campaign.
func TestSilence(t *testing.T) {
	join(t, func(from, _ *transport) {
		from.silent = func() bool { return true }
		if err := from.AppendEntries("n2/i", "n2/i", heartbeat(5), &raft.AppendEntriesResponse{}); !errors.Is(err, errSilent) {
			t.Error(err)
		}
		if err := from.RequestPreVote("n2/i", "n2/i", &raft.RequestPreVoteRequest{}, &raft.RequestPreVoteResponse{}); !errors.Is(err, errPassive) {
			t.Error(err)
		}
	})
}

// A draining node campaigns only when nobody else seems able to.
func TestModesty(t *testing.T) {
	m := modesty{length: 3 * time.Second}
	now := time.Now()
	for at, want := range []bool{true, true, true, false, false} {
		if got := m.holds(now.Add(time.Duration(at) * time.Second)); got != want {
			t.Errorf("attempt after %d s: held is %t", at, got)
		}
	}
	if !m.holds(now.Add(time.Minute)) {
		t.Error("the next time begins without modesty")
	}
}

// The state and the running digest do not depend on how entries are batched,
// and what is replayed is folded once.
func TestFoldIsTheSameHoweverBatched(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, _ *sim.Network, all []*bench) {
		var logs []*raft.Log
		for i := uint64(2); i < 40; i++ {
			l := &raft.Log{Index: i, Term: 3, Type: raft.LogCommand, Data: []byte(fmt.Sprint("k", i))}
			if i%7 == 0 {
				l = &raft.Log{Index: i, Term: 3, Type: raft.LogConfiguration}
			}
			logs = append(logs, l)
		}
		one, other := all[0].g.fsm, all[1].g.fsm
		one.ApplyBatch(logs)
		for i, l := range logs {
			other.Apply(l)
			other.ApplyBatch(logs[:i/2+1])
		}
		if one.state.Chain() != other.state.Chain() {
			t.Error("the running digests differ")
		}
		v, w := one.state.View(), other.state.View()
		defer v.Close()
		defer w.Close()
		if v.SHA256() != w.SHA256() {
			t.Error("the states differ")
		}
		if index, term := one.state.Applied(); index != 39 || term != 3 {
			t.Errorf("applied is %d of term %d", index, term)
		}
	})
}

// A panic discards the batch that it is in, and nothing is applied afterwards.
func TestFoldPanicDiscardsItsBatch(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, _ *sim.Network, all []*bench) {
		f := all[0].g.fsm
		command := func(i uint64, data string) *raft.Log {
			return &raft.Log{Index: i, Term: 1, Type: raft.LogCommand, Data: []byte(data)}
		}
		f.ApplyBatch([]*raft.Log{command(2, "a")})
		for _, a := range f.ApplyBatch([]*raft.Log{command(3, "b"), command(4, "panic"), command(5, "c")}) {
			if a != nil {
				t.Errorf("answer %v", a)
			}
		}
		if a := f.Apply(command(6, "d")); a != nil {
			t.Errorf("answer %v after the panic", a)
		}
		if index, _ := f.state.Applied(); index != 2 || !all[0].has("a") || all[0].has("b") {
			t.Errorf("applied is %d", index)
		}
		if err := <-f.broken; !strings.Contains(err.Error(), "entry 4") {
			t.Error(err)
		}
	})
}

// A mark shows the state exactly where it stands, whatever comes after it in
// the same batch.
func TestMarksStandWhereTheyStand(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, _ *sim.Network, all []*bench) {
		mark := newMark([16]byte{1}, true)
		mark.Index, mark.Term, mark.Type = 3, 1, raft.LogCommand
		before := &raft.Log{Index: 2, Term: 1, Type: raft.LogCommand, Data: []byte("a")}
		after := &raft.Log{Index: 4, Term: 1, Type: raft.LogCommand, Data: []byte("b")}
		all[0].g.fsm.ApplyBatch([]*raft.Log{before, &mark, after})
		all[1].g.fsm.ApplyBatch([]*raft.Log{before, &mark})
		first, err := all[0].g.DigestAt(context.Background(), mark.Extensions)
		if err != nil {
			t.Fatal(err)
		}
		second, err := all[1].g.DigestAt(context.Background(), mark.Extensions)
		if err != nil {
			t.Fatal(err)
		}
		if first != second || first.Applied != 3 || first.SHA256 == "" {
			t.Errorf("%+v and %+v", first, second)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if _, err := all[1].g.DigestAt(ctx, bytes.Repeat([]byte{7}, markLength)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a mark that never comes: %v", err)
		}
		all[0].g.fsm.marks.clear()
		all[1].g.fsm.marks.clear()
	})
}
