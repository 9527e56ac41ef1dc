package takeover

import (
	"context"
	"slices"
	"strings"
	"time"

	"quorumta/bench/load"
	"quorumta/bench/proc"
	"quorumta/bench/sink"
	"quorumta/bench/trial"
)

// Fault is what was done to whom, and when.
type Fault struct {
	Victims []*proc.Node
	// Shards are those that they led.
	Shards map[int]bool
	At     time.Time
}

// Of is a fault that is about to strike these nodes; At is to be set when it
// does.
func Of(ctx context.Context, t *trial.Trial, victims ...*proc.Node) (Fault, error) {
	f := Fault{Victims: victims, Shards: map[int]bool{}}
	var s proc.Status
	if err := t.Cluster.Query(ctx, &s, "cluster", "status"); err != nil {
		return f, err
	}
	for _, v := range victims {
		for _, shard := range s.Shards {
			if shard.Leader == v.Name {
				f.Shards[shard.ID] = true
			}
		}
	}
	return f, nil
}

// Takeover finds the first delivery after the fault, by a node that is no
// victim, of a message that the victims' shards had before it: seconds after
// the fault, negative for none. Nodes call themselves by their name and a
// domain.
func (f Fault) Takeover(s *sink.Sink, acked map[string]load.Record) float64 {
	first := -1.0
	_ = s.Each(func(s sink.Seen) error {
		r, ok := acked[s.ID]
		if !ok || !f.Shards[shard(r.QueueID)] || r.At.After(f.At) || f.struck(s.Helo) {
			return nil
		}
		after := s.First.Sub(f.At)
		if after > 0 && (first < 0 || after.Seconds() < first) {
			first = after.Seconds()
		}
		return nil
	})
	return first
}

// struck reports whether a client of that name is a victim.
func (f Fault) struck(helo string) bool {
	name, _, _ := strings.Cut(helo, ".")
	return slices.ContainsFunc(f.Victims, func(v *proc.Node) bool { return v.Name == name })
}

// shard reads the shard out of a queue id: bits 48 to 59 of its base-32
// number, the layout that every version keeps.
func shard(id string) int {
	const digits = "0123456789abcdefghjkmnpqrstvwxyz"
	if len(id) != 20 {
		return 0
	}
	n := 0
	for i := 9; i < 12; i++ {
		n = n<<5 | max(0, slices.Index([]byte(digits), id[i]))
	}
	return n & 0xfff
}
