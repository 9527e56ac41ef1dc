package upkeep_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"quorumta/cluster/control"
	"quorumta/cluster/papers"
	"quorumta/cluster/store"
	"quorumta/cluster/upkeep"
)

const self = "n1/i"

// node is a node with its papers and a replica of shard 1, and what happened.
type node struct {
	t       *testing.T
	papers  *papers.Papers
	open    map[uint16]*replica
	answers []bool // the leader's, in turn; then no
	done    []string
	upkeep  *upkeep.Upkeep
}

type replica struct {
	shard   uint16
	sealed  uint64
	why     error
	poison  uint64
	resumed bool
}

func (r *replica) Shard() uint16            { return r.shard }
func (r *replica) Sealed() uint64           { return r.sealed }
func (r *replica) Stopped() (uint64, error) { return r.poison, r.why }
func (r *replica) Resume() error {
	r.resumed = true
	return nil
}

func newNode(t *testing.T) *node {
	t.Helper()
	p, err := papers.Open(papers.Owner{FS: vfs.NewMem(), Dir: "data", Name: "n1", Cluster: "c", Incarnation: "i"})
	if err == nil {
		err = p.Set(papers.Held, 1)
	}
	if err != nil {
		t.Fatal(err)
	}
	n := &node{t: t, papers: p, open: map[uint16]*replica{1: {shard: 1}}}
	n.upkeep = upkeep.New(upkeep.Options{
		Self: self, Papers: p, Log: slog.New(slog.DiscardHandler),
		Replicas: func() (all []upkeep.Replica) {
			for _, r := range n.open {
				all = append(all, r)
			}
			return all
		},
		Has: func(shard uint16) bool { return n.open[shard] != nil },
		Open: func(s control.Shard) error {
			n.note("open", s.ID)
			n.open[s.ID] = &replica{shard: s.ID, sealed: s.Sealed}
			return nil
		},
		Close: func(shard uint16) bool {
			r := n.open[shard]
			delete(n.open, shard)
			if r != nil {
				n.note("close", shard)
			}
			return r != nil
		},
		Drop: func(shard uint16) error {
			n.note("drop", shard)
			if stage := p.Stage(shard); stage != papers.Dropping {
				t.Errorf("dropped while the papers say %q", stage)
			}
			return nil
		},
		Released: func(context.Context, upkeep.Request) bool {
			n.note("ask", 1)
			yes := len(n.answers) > 0 && n.answers[0]
			n.answers = n.answers[min(1, len(n.answers)):]
			return yes
		},
	})
	return n
}

func (n *node) note(what string, shard uint16) { n.done = append(n.done, fmt.Sprint(what, " ", shard)) }

// act acts on a map of shard 1 and returns what was done.
func (n *node) act(s control.Shard) []string {
	s.ID, n.done = 1, nil
	n.upkeep.Act(n.t.Context(), control.Map{Version: 9, Next: 2, Shards: []control.Shard{s}})
	return n.done
}

func (n *node) want(got []string, want ...string) {
	n.t.Helper()
	if !slices.Equal(got, want) {
		n.t.Errorf("done: %v, want %v", got, want)
	}
}

var (
	ours   = control.Shard{Replicas: []string{self}}
	theirs = control.Shard{Replicas: []string{"n2/i"}}
)

// A replica is deleted only on an answer that was asked for after it was closed:
// while it is open it may have got its vote back.
func TestAReplicaIsClosedBeforeItIsGivenUp(t *testing.T) {
	n := newNode(t)
	n.want(n.act(theirs), "ask 1")
	n.answers = []bool{true, false}
	n.want(n.act(theirs), "ask 1", "close 1", "ask 1", "open 1")
	if stage := n.papers.Stage(1); stage != papers.Held {
		t.Errorf("wanted again, the papers say %q", stage)
	}
	n.answers = []bool{true, true}
	n.want(n.act(theirs), "ask 1", "close 1", "ask 1", "drop 1")
	if stage := n.papers.Stage(1); stage != papers.Gone {
		t.Errorf("at the end the papers say %q", stage)
	}
	n.want(n.act(ours), "open 1")
}

// A deletion that was decided is finished, whatever the map says by now.
func TestADeletionIsFinished(t *testing.T) {
	n := newNode(t)
	delete(n.open, 1)
	if err := n.papers.Set(papers.Dropping, 1); err != nil {
		t.Fatal(err)
	}
	n.upkeep.Act(t.Context(), control.Map{Version: 9, Next: 2, Shards: []control.Shard{{ID: 1, Replicas: []string{self}}}})
	n.want(n.done, "drop 1")
	if n.papers.Stage(1) != papers.Gone {
		t.Errorf("the papers say %q", n.papers.Stage(1))
	}
}

// Under each seal a replica is opened anew, once.
func TestASealedShardIsOpenedAnew(t *testing.T) {
	n := newNode(t)
	s := ours
	for _, s.Sealed = range []uint64{5, 8} {
		n.want(n.act(s), "close 1", "open 1")
		n.want(n.act(s))
		if got := n.open[1].Sealed(); got != s.Sealed {
			t.Errorf("sealed %d, want %d", got, s.Sealed)
		}
	}
	n.want(n.act(ours))
}

// What has stopped because its data is lost or damaged begins anew, and nothing
// else that has stopped does.
func TestWhatIsDamagedIsMadeAnew(t *testing.T) {
	n := newNode(t)
	n.open[1].why = errors.New("the fold panicked")
	n.want(n.act(ours))
	n.open[1].why = fmt.Errorf("stopped: %w", fmt.Errorf("the log has lost its tail: %w", store.ErrDamaged))
	n.want(n.act(ours), "close 1", "ask 1")
	if stage := n.papers.Stage(1); stage != papers.Damaged {
		t.Errorf("the papers say %q", stage)
	}
	n.want(n.act(ours), "ask 1")
	n.answers = []bool{true}
	n.want(n.act(ours), "ask 1", "drop 1")
	n.want(n.act(ours), "open 1")
}

// A stopped replica goes on when the entry that stopped it is skipped.
func TestAReplicaResumes(t *testing.T) {
	n := newNode(t)
	r := n.open[1]
	r.why, r.poison = errors.New("the fold panicked"), 7
	m := control.Map{Version: 9, Next: 2, Shards: []control.Shard{{ID: 1, Replicas: []string{self}}}, Skips: []control.Skip{{Shard: 1, Index: 6}}}
	n.upkeep.Act(t.Context(), m)
	if r.resumed {
		t.Error("it goes on for another entry")
	}
	m.Skips[0].Index = 7
	n.upkeep.Act(t.Context(), m)
	if !r.resumed {
		t.Error("it does not go on")
	}
}
