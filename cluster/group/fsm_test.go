package group

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"quorumta/cluster/group/marks"
	"quorumta/internal/sim"
)

// The state and the running digest do not depend on how entries are batched,
// and what is replayed is folded once.
func TestFoldIsTheSameHoweverBatched(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, _ *sim.Network, all []*bench) {
		var logs []*raft.Log
		for i := uint64(2); i < 40; i++ {
			l := &raft.Log{Index: i, Term: 3, Type: raft.LogCommand, Data: []byte(fmt.Sprint("k", i))}
			if i%7 == 0 {
				l = &raft.Log{Index: i, Term: 3, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(raft.Configuration{})}
			}
			logs = append(logs, l)
		}
		one, other := all[0].g.fsm, all[1].g.fsm
		state, otherState := all[0].o.State, all[1].o.State
		one.ApplyBatch(logs)
		for i, l := range logs {
			other.Apply(l)
			other.ApplyBatch(logs[:i/2+1])
		}
		if state.Chain() != otherState.Chain() {
			t.Error("the running digests differ")
		}
		v, w := state.View(), otherState.View()
		defer v.Close()
		defer w.Close()
		if v.SHA256() != w.SHA256() {
			t.Error("the states differ")
		}
		if index, term := state.Applied(); index != 39 || term != 3 {
			t.Errorf("applied is %d of term %d", index, term)
		}
	})
}

// The running digest tells what was folded, in what order and with what
// results (PROTOCOL 23).
func TestRunningDigestTellsWhatWasFolded(t *testing.T) {
	seen := map[[32]byte]string{}
	for name, logs := range map[string][]raft.Log{
		"nothing":       {},
		"one":           {{Index: 2, Term: 3, Data: []byte("a")}},
		"other data":    {{Index: 2, Term: 3, Data: []byte("b")}},
		"other results": {{Index: 2, Term: 3, Data: []byte("a")}},
		"another term":  {{Index: 2, Term: 4, Data: []byte("a")}},
		"another index": {{Index: 3, Term: 3, Data: []byte("a")}},
		"two":           {{Index: 2, Term: 3, Data: []byte("a")}, {Index: 3, Term: 3, Data: []byte("b")}},
		"other order":   {{Index: 2, Term: 3, Data: []byte("b")}, {Index: 3, Term: 3, Data: []byte("a")}},
	} {
		one(t, func(t *testing.T, b *bench) {
			if name == "other results" {
				b.o.Machine = &refusing{}
				var err error
				if b.g, err = New(b.o); err != nil {
					t.Fatal(err)
				}
			}
			for _, l := range logs {
				b.g.fsm.Apply(&l)
			}
			chain := b.o.State.Chain()
			if other, ok := seen[chain]; ok {
				t.Errorf("%s and %s have the same digest", name, other)
			}
			seen[chain] = name
		})
	}
}

// refusing is a machine that refuses everything.
type refusing struct{ sum }

func (*refusing) Apply(View, Batch, Entry) []Result { return []Result{9} }

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
		if index, _ := all[0].o.State.Applied(); index != 2 || !all[0].has("a") || all[0].has("b") {
			t.Errorf("applied is %d", index)
		}
		if err := <-f.Broken(); !strings.Contains(err.Error(), "entry 4") {
			t.Error(err)
		}
	})
}

// A mark shows the state exactly where it stands, whatever comes after it in
// the same batch.
func TestMarksStandWhereTheyStand(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, _ *sim.Network, all []*bench) {
		mark := marks.Entry([16]byte{1}, true)
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
		if _, err := all[1].g.DigestAt(ctx, bytes.Repeat([]byte{7}, len(mark.Extensions))); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a mark that never comes: %v", err)
		}
		all[0].g.fsm.Marks.Clear()
		all[1].g.fsm.Marks.Clear()
	})
}
