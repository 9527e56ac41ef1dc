package transport

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// An offer of the office reaches Raft as a transfer does, unless its term is
// over or a later leader was heard: that one counts on the voters' patience.
func TestCampaignIsForOneTerm(t *testing.T) {
	join(t, func(from, to *Transport) {
		taken := make(chan raft.RPC, 1)
		take := func() { rpc := <-to.Consumer(); rpc.Respond(&raft.AppendEntriesResponse{Term: 5}, nil); taken <- rpc }
		if err := to.Campaign(context.Background(), 4); !errors.Is(err, ErrLate) {
			t.Errorf("the office of term 4 is taken in term 5: %v", err)
		}
		go take()
		if err := to.Campaign(context.Background(), 5); err != nil {
			t.Fatal(err)
		}
		if _, ok := (<-taken).Command.(*raft.TimeoutNowRequest); !ok {
			t.Error("Raft is not told to stand for election")
		}
		ask := func(term uint64) error {
			return to.RequestVote("n1/i", "n1/i", &raft.RequestVoteRequest{Term: term, LeadershipTransfer: true}, &raft.RequestVoteResponse{})
		}
		if err := ask(7); !errors.Is(err, errUnasked) {
			t.Errorf("a vote of term 7 is asked for with the privilege of term 6: %v", err)
		}
		go func() { rpc := <-from.Consumer(); rpc.Respond(&raft.RequestVoteResponse{Term: 6, Granted: true}, nil) }()
		if err := ask(6); err != nil {
			t.Error(err)
		}
		go take()
		if err := from.AppendEntries("n2/i", "n2/i", heartbeat(6), &raft.AppendEntriesResponse{}); err != nil {
			t.Fatal(err)
		}
		<-taken
		if err := to.Campaign(context.Background(), 5); !errors.Is(err, ErrLate) {
			t.Errorf("the office of term 5 is taken though term 6 has a leader: %v", err)
		}
	})
}

// Who was told by the leader itself has the privilege in the next term.
func TestTransferHasThePrivilege(t *testing.T) {
	join(t, func(from, to *Transport) {
		go func() { rpc := <-to.Consumer(); rpc.Respond(&raft.TimeoutNowResponse{}, nil) }()
		header := raft.RPCHeader{ProtocolVersion: 3, Addr: []byte("n1/i")}
		if err := from.TimeoutNow("n2/i", "n2/i", &raft.TimeoutNowRequest{RPCHeader: header}, &raft.TimeoutNowResponse{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := to.campaigns.granted.Load(); got != 6 {
			t.Errorf("the privilege is for term %d", got)
		}
	})
}

// A leader that has resigned has no lease and sends nothing more in its term.
func TestResigning(t *testing.T) {
	join(t, func(from, _ *Transport) {
		from.o.Lease.answered(5, "n2/i", time.Now())
		if !from.o.Lease.Runs(5, time.Now()) {
			t.Fatal("there is no lease to end")
		}
		from.Resign(5)
		from.Resign(4)
		if from.o.Lease.Runs(5, time.Now()) {
			t.Error("the lease goes on")
		}
		if err := from.AppendEntries("n2/i", "n2/i", heartbeat(5), &raft.AppendEntriesResponse{}); !errors.Is(err, errResigned) {
			t.Error(err)
		}
		if err := from.InstallSnapshot("n2/i", "n2/i", &raft.InstallSnapshotRequest{Term: 5}, &raft.InstallSnapshotResponse{}, nil); !errors.Is(err, errResigned) {
			t.Error(err)
		}
		if err := from.mute(6); err != nil {
			t.Errorf("it is silent in the next term: %v", err)
		}
	})
}
