// Package succession passes the office on from a leader whose disk hangs
// (PROTOCOL 30). A leader that merely fell silent would be missed only after a
// heartbeat time-out; this one says so while it still can, over the connections
// that its disk does not slow down.
//
// The leader asks the voters who could succeed it. Once a majority of them is
// well it lets go of its lease, and then offers the office to the one with the
// longest log. A word that comes late, or from nobody's leader, is refused: it
// names the term.
package succession

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"quorumta/cluster/group/journal"
)

// What a leader asks, the kind before the term in 8 bytes, big endian:
//
//	'H'  could you succeed me? The answer is an Heir in JSON
//	'O'  the office is yours; the answer is empty
const (
	askHeir  = 'H'
	askOffer = 'O'
	length   = 9
)

// timeout bounds each of the two questions.
const timeout = 300 * time.Millisecond

// Heir is what a voter answers to a leader that looks for who could succeed it.
type Heir struct {
	// Able: it follows this leader in this term, and its own disk is well.
	Able bool `json:"able"`
	// Modest: it drains, and takes the office only if nobody else does.
	Modest bool `json:"modest,omitempty"`
	// Term and Index are the end of its log.
	Term  uint64 `json:"term"`
	Index uint64 `json:"index"`
}

// Call asks another replica of the shard.
type Call func(ctx context.Context, peer string, request []byte) ([]byte, error)

// Voter answers a leader that looks for who could succeed it.
type Voter interface {
	// Heir is what this replica would be to the leader of the term.
	Heir(leader raft.ServerID, term uint64) Heir
	// Campaign has it stand for election as the heir of the term's leader, who
	// has no lease any more.
	Campaign(ctx context.Context, term uint64) error
}

// Concerns reports whether a request is one of this package's.
func Concerns(request []byte) bool {
	return len(request) == length && (request[0] == askHeir || request[0] == askOffer)
}

// Answer answers the request of a leader, for which Concerns holds.
func Answer(ctx context.Context, v Voter, leader raft.ServerID, request []byte) ([]byte, error) {
	term := binary.BigEndian.Uint64(request[1:])
	heir := v.Heir(leader, term)
	if request[0] == askHeir {
		return json.Marshal(heir)
	}
	if !heir.Able {
		return nil, fmt.Errorf("this replica does not follow %s in term %d, or cannot succeed it", leader, term)
	}
	return nil, v.Campaign(ctx, term)
}

// heir is one that is able, by name.
type heir struct {
	Heir
	id raft.ServerID
}

// Heirs are those of the voters that could succeed this node in the term, the
// one with the longest log first, and those that drain last.
type Heirs []heir

// Find asks the voters, who do not include this node.
func Find(ctx context.Context, call Call, term uint64, voters []raft.ServerID) Heirs {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var mu sync.Mutex
	var able Heirs
	var asking sync.WaitGroup
	for _, id := range voters {
		asking.Go(func() {
			h := heir{id: id}
			answer, err := call(ctx, string(id), request(askHeir, term))
			if err == nil {
				err = json.Unmarshal(answer, &h.Heir)
			}
			if err != nil || !h.Able {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			able = append(able, h)
		})
	}
	asking.Wait()
	slices.SortFunc(able, func(a, b heir) int {
		at, bt := journal.Position{Term: a.Term, Index: a.Index}, journal.Position{Term: b.Term, Index: b.Index}
		return cmp.Or(rank(a.Modest)-rank(b.Modest), bt.Compare(at), cmp.Compare(b.id, a.id))
	})
	return able
}

func rank(modest bool) int {
	if modest {
		return 1
	}
	return 0
}

// Offer offers the office to one after the other until one stands for it, and
// returns which. This node's lease of the term has ended before.
func (h Heirs) Offer(ctx context.Context, call Call, term uint64) (raft.ServerID, error) {
	errs := []error{errors.New("nobody takes the office")}
	for _, one := range h {
		within, cancel := context.WithTimeout(ctx, timeout)
		_, err := call(within, string(one.id), request(askOffer, term))
		cancel()
		if err == nil {
			return one.id, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", one.id, err))
	}
	return "", errors.Join(errs...)
}

func request(kind byte, term uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{kind}, term)
}
