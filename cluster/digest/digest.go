// Package digest compares the replicas of a shard, and acts on a difference
// (PROTOCOL 23): a replica that a majority disagrees with stops, and where
// there is no majority nothing is delivered until there is.
package digest

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// markTimeout bounds a comparison, deepTimeout one of whole states.
	markTimeout = 30 * time.Second
	deepTimeout = 30 * time.Minute
	// patience is how long whoever looks waits for a replica that does not come
	// to the mark, and for one that does not answer; slack is for the answer's way.
	patience = 3 * time.Second
	slack    = time.Second
	// marks are proposed at most so often for one comparison.
	marks = 3
	// passedPoll is how often a replica that waits for a mark looks whether it
	// has passed it.
	passedPoll = time.Second
)

// The calls between the nodes. A name and its JSON may change only with the
// version of the cluster.
const (
	MethodCompare = "cluster.digest"
	MethodAt      = "cluster.digest_at"
	MethodVerdict = "cluster.digest_verdict"
)

// Shard compares the replicas of a shard.
type Shard struct {
	ID       uint16
	Replicas []Replica
}

// Replica is the running digest of a replica: Chain is taken after the entry
// Applied. SHA256 is that of the whole state at Applied, only where a deep
// digest was asked for. Error is set for a replica that did not answer.
type Replica struct {
	Node    string
	Applied uint64
	Chain   string // hex
	SHA256  string // hex, or ""
	Error   string
	// Passed: a snapshot has taken it beyond the place that was agreed on.
	Passed bool `json:",omitempty"`
}

// Request asks a shard's leader to compare its replicas.
type Request struct {
	Shard uint16 `json:"shard"`
	Deep  bool   `json:"deep"`
}

// MarkRequest asks a replica what it was at a mark, whose entry has the index.
type MarkRequest struct {
	Shard uint16 `json:"shard"`
	Mark  []byte `json:"mark"`
	Index uint64 `json:"index"`
	Deep  bool   `json:"deep"`
	// Within is how long the replica may take to come to the mark, nanoseconds;
	// 0: as long as a comparison may take.
	Within time.Duration `json:"within,omitempty"`
}

// Differs reports whether two replicas that answered are not equal.
func (d Shard) Differs() bool { return len(d.kinds()) > 1 }

// kinds are the nodes that answered, those that are equal together, most first.
func (d Shard) kinds() [][]string {
	type digest struct {
		applied       uint64
		chain, sha256 string
	}
	kinds := map[digest][]string{}
	for _, r := range d.Replicas {
		if r.Error == "" {
			at := digest{r.Applied, r.Chain, r.SHA256}
			kinds[at] = append(kinds[at], r.Node)
		}
	}
	var all [][]string
	for _, names := range kinds {
		all = append(all, names)
	}
	slices.SortFunc(all, func(a, b []string) int {
		return cmp.Or(len(b)-len(a), strings.Compare(a[0], b[0]))
	})
	return all
}

// judge says which replicas are wrong, because a majority of all voters is equal
// and they are not like it; doubt means that they differ and there is none.
func (d Shard) judge() (wrong []string, doubt bool) {
	kinds := d.kinds()
	if len(kinds) < 2 {
		return nil, false
	}
	if 2*len(kinds[0]) <= len(d.Replicas) {
		return nil, true
	}
	return slices.Concat(kinds[1:]...), false
}

// Compare compares the replicas of a shard that this node leads, for whoever
// looks: a replica that is missing is named and not waited for.
func (c *Comparer) Compare(ctx context.Context, r Request) (Shard, error) {
	return c.compare(ctx, r, patience)
}

// compare compares the replicas of a shard that this node leads. The leader
// proposes a mark, and every replica says what it was when it came there, so
// that all speak of the same place in the log. Where a snapshot has carried one
// past it, another mark is tried. within bounds the wait for one that lags; 0
// is as long as a comparison may take.
func (c *Comparer) compare(ctx context.Context, r Request, within time.Duration) (Shard, error) {
	limit := markTimeout
	if r.Deep {
		limit = deepTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for tries := 1; ; tries++ {
		d, err := c.compareOnce(ctx, r, within)
		passed := slices.ContainsFunc(d.Replicas, func(r Replica) bool { return r.Passed })
		if err != nil || !passed || tries == marks {
			return d, err
		}
	}
}

func (c *Comparer) compareOnce(ctx context.Context, r Request, within time.Duration) (Shard, error) {
	d := Shard{ID: r.Shard}
	var id [16]byte
	_, _ = rand.Read(id[:])
	mark, err := c.o.Mark(ctx, r.Shard, id, r.Deep)
	if err != nil {
		return d, err
	}
	at := MarkRequest{Shard: r.Shard, Mark: mark, Deep: r.Deep, Within: within}
	own, err := c.At(ctx, at)
	if err != nil {
		return d, err
	}
	own.Node, at.Index = c.o.Self, own.Applied
	voters := c.o.Voters(r.Shard)
	d.Replicas = make([]Replica, len(voters))
	var asking sync.WaitGroup
	for i, v := range voters {
		if v.Node == c.o.Self {
			d.Replicas[i] = own
			continue
		}
		if v.Gone {
			d.Replicas[i] = Replica{Node: v.Node, Error: "another incarnation of the node has taken its place"}
			continue
		}
		asking.Go(func() {
			d.Replicas[i] = c.question(ctx, v, at)
		})
	}
	asking.Wait()
	slices.SortFunc(d.Replicas, func(a, b Replica) int { return strings.Compare(a.Node, b.Node) })
	return d, nil
}

// question asks a voter what it was at the mark. One that is silent is given a
// chance; adding up a whole state takes its time.
func (c *Comparer) question(ctx context.Context, v Voter, at MarkRequest) (found Replica) {
	if v.Silent || (at.Within > 0 && !at.Deep) {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, patience+slack)
		defer cancel()
	}
	if err := c.o.Ask(ctx, v.Node, MethodAt, at, &found); err != nil {
		found = Replica{Error: err.Error()}
	}
	found.Node = v.Node
	return found
}

// At is what this node's replica was at the mark.
func (c *Comparer) At(ctx context.Context, r MarkRequest) (Replica, error) {
	limit := markTimeout
	if r.Deep {
		limit = deepTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(r.Within, limit))
	defer cancel()
	for {
		within, stop := context.WithTimeout(ctx, passedPoll) // for coming there, not for adding up
		found, err := c.o.At(within, r.Shard, r.Mark)
		stop()
		switch {
		case err == nil:
			return found, nil
		case ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded):
			return found, fmt.Errorf("the replica did not come to the mark: %w", err)
		case c.passed(r):
			return Replica{Passed: true, Error: "a snapshot has carried the replica past the mark"}, nil
		}
	}
}

// passed reports whether the replica has applied what the mark stands behind.
func (c *Comparer) passed(r MarkRequest) bool {
	return r.Index > 0 && c.o.Applied(r.Shard) >= r.Index
}
