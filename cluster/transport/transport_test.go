package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"go.opentelemetry.io/otel/metric/noop"

	"quorumta/cluster/wire"
	"quorumta/internal/sim"
)

// join gives f the transports of two replicas without Raft: it sends from the
// first to the second.
func join(t *testing.T, f func(from, to *Transport)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		net := sim.NewNetwork()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 2)
		var both []*Transport
		for _, name := range []string{"n1", "n2"} {
			port, err := wire.New(wire.Options{
				Self: name + "/i", Cluster: "c", Listen: name + ":1",
				Members: map[string]string{"n1": "n1:1", "n2": "n2:1"},
				Network: net.Host(name), Log: slog.New(slog.DiscardHandler), Meter: noop.NewMeterProvider().Meter(""),
			})
			if err != nil {
				t.Fatal(err)
			}
			go func() { ended <- port.Run(ctx) }()
			both = append(both, New(Options{
				Stream:  port.Open(1, func(string) {}),
				Lease:   leaseOf("n1/i", "n2/i"),
				Term:    func() uint64 { return 5 },
				Silent:  func() bool { return false },
				Passive: func() bool { return false },
				Modesty: 3 * time.Second,
				Grace:   time.Now().Add(time.Second),
				Blank:   func() bool { return false },
				Member:  func(raft.ServerID) bool { return true },
				Holds:   func(index, term uint64) bool { return index == 30 && term == 2 },
				Send: func(_ raft.ServerID, _ *raft.InstallSnapshotRequest, data io.Reader) (io.Reader, error) {
					return data, nil
				},
				Log: hclog.NewNullLogger(),
			}))
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

// leaseOf is the lease of the first of the voters.
func leaseOf(voters ...raft.ServerID) *Lease {
	l := NewLease(800*time.Millisecond, voters[0])
	l.SetVoters(voters)
	return l
}

func heartbeat(term uint64) *raft.AppendEntriesRequest {
	return &raft.AppendEntriesRequest{RPCHeader: raft.RPCHeader{ProtocolVersion: 3, Addr: []byte("n1/i")}, Term: term}
}

// A heartbeat goes the way of every request, through the main loop, whatever
// handler Raft installs for it (hashicorp/raft#695).
func TestHeartbeatsGoThroughTheMainLoop(t *testing.T) {
	join(t, func(from, to *Transport) {
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
	join(t, func(from, to *Transport) {
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
			if from.o.Lease.Runs(5, time.Now()) {
				t.Errorf("%s renews the lease", what)
			}
		}
		go answer(500*time.Millisecond, raft.AppendEntriesResponse{Term: 5, Success: true})
		sent := time.Now()
		if err := from.AppendEntries("n2/i", "n2/i", heartbeat(5), &raft.AppendEntriesResponse{}); err != nil {
			t.Fatal(err)
		}
		if !from.o.Lease.Runs(5, sent.Add(799*time.Millisecond)) || from.o.Lease.Runs(5, sent.Add(800*time.Millisecond)) {
			t.Error("the lease does not end 800 ms after sending")
		}
		if from.o.Lease.Runs(4, sent) || from.o.Lease.Runs(6, sent) {
			t.Error("another term has the lease")
		}
		// Offering the lead to another ends it before the offer is sent.
		go func() {
			rpc := <-to.Consumer()
			if from.o.Lease.Runs(5, sent) {
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
		l := leaseOf(append([]raft.ServerID{"self"}, ids...)...)
		for i, ago := range c.answered {
			l.answered(3, ids[i], start.Add(-ago))
			l.answered(2, ids[i], start) // late, of a term gone by
		}
		if got := l.Runs(3, start); got != c.runs {
			t.Errorf("%d others, answered before %v: runs is %t", c.others, c.answered, got)
		}
		if l.End(3); l.Runs(3, start) {
			t.Errorf("%d others: a lease that was ended runs", c.others)
		}
	}
}

// While a configuration is being changed, somebody could be elected under the
// old one and under the new one: the lease needs a majority of both.
func TestLeaseKnowsBothConfigurations(t *testing.T) {
	now := time.Now()
	l := NewLease(800*time.Millisecond, "a")
	if l.Runs(3, now) {
		t.Error("a lease runs before it is known who votes")
	}
	l.SetVoters([]raft.ServerID{"a"}, []raft.ServerID{"a", "b"})
	if l.Runs(3, now) {
		t.Error("the lease runs, and the one to be added was not heard of")
	}
	l.answered(3, "b", now)
	if !l.Runs(3, now) {
		t.Error("the lease does not run with everybody's answer")
	}
	l.SetVoters([]raft.ServerID{"a", "b", "c"}, []raft.ServerID{"a", "c"})
	if l.Runs(3, now) {
		t.Error("the lease runs by the voice of the one to be removed")
	}
	l.SetVoters([]raft.ServerID{"b", "c"})
	l.answered(3, "c", now)
	if !l.Runs(3, now) {
		t.Error("a majority without this replica does not do")
	}
}

// A replica that has nothing knows nobody it could vote for.
func TestBlankReplicaGivesNoVote(t *testing.T) {
	join(t, func(from, to *Transport) {
		to.o.Blank = func() bool { return true }
		to.o.Grace = time.Now()
		go func() {
			select {
			case <-to.Consumer():
				t.Error("a request for a vote came through")
			case <-to.done:
			}
		}()
		from.campaigns.granted.Store(5)
		vote := &raft.RequestVoteRequest{Term: 5, LeadershipTransfer: true}
		var voted raft.RequestVoteResponse
		if err := from.RequestVote("n2/i", "n2/i", vote, &voted); err != nil || voted.Granted {
			t.Errorf("a vote: %+v, %v", voted, err)
		}
		var would raft.RequestPreVoteResponse
		if err := from.RequestPreVote("n2/i", "n2/i", &raft.RequestPreVoteRequest{Term: 5}, &would); err != nil || would.Granted {
			t.Errorf("a pre-vote: %+v, %v", would, err)
		}
	})
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
	join(t, func(from, to *Transport) {
		from.campaigns.granted.Store(9)
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
	join(t, func(from, _ *Transport) {
		from.o.Silent = func() bool { return true }
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

// The cut reaches the wire, and what Raft sees of the request afterwards.
func TestLongAppendIsSentCut(t *testing.T) {
	join(t, func(from, to *Transport) {
		args := heartbeat(5)
		for i := range 64 {
			args.Entries = append(args.Entries, &raft.Log{Index: uint64(i + 1), Data: make([]byte, 512<<10)})
		}
		got := make(chan int, 1)
		go func() {
			rpc := <-to.Consumer()
			got <- len(rpc.Command.(*raft.AppendEntriesRequest).Entries)
			rpc.Respond(&raft.AppendEntriesResponse{Term: 5, Success: true}, nil)
		}()
		if err := from.AppendEntries("n2/i", "n2/i", args, &raft.AppendEntriesResponse{}); err != nil {
			t.Fatal(err)
		}
		if n := <-got; n != 7 || len(args.Entries) != n {
			t.Errorf("%d entries were sent, Raft believes in %d", n, len(args.Entries))
		}
	})
}

// Appends are not pipelined: a pipeline never resumes after a failed append
// (hashicorp/raft#612).
func TestNoPipeline(t *testing.T) {
	join(t, func(from, _ *Transport) {
		if _, err := from.AppendEntriesPipeline("n2/i", "n2/i"); !errors.Is(err, raft.ErrPipelineReplicationNotSupported) {
			t.Error(err)
		}
	})
}

// A passive node does campaign when it goes on without a leader.
func TestPassiveNodeCampaignsLate(t *testing.T) {
	join(t, func(from, to *Transport) {
		from.o.Passive = func() bool { return true }
		time.Sleep(2 * time.Second)
		go func() {
			rpc := <-to.Consumer()
			rpc.Respond(&raft.RequestPreVoteResponse{Term: 9, Granted: true}, nil)
		}()
		for attempt := range 5 {
			var resp raft.RequestPreVoteResponse
			err := from.RequestPreVote("n2/i", "n2/i", &raft.RequestPreVoteRequest{Term: 9}, &resp)
			if late := attempt >= 3; late != resp.Granted || errors.Is(err, errPassive) == late {
				t.Errorf("attempt %d: granted %t, %v", attempt, resp.Granted, err)
			}
			if resp.Granted {
				return
			}
			time.Sleep(time.Second)
		}
	})
}
