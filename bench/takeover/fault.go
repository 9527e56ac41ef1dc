package takeover

import (
	"context"
	"slices"
	"time"

	"quorumta/bench/load"
	"quorumta/bench/proc"
	"quorumta/bench/sink"
	"quorumta/bench/trial"
)

// Fault is what was done to whom, and when.
type Fault struct {
	// Victims are their SMTP addresses, Shards those that they led.
	Victims []string
	Shards  map[int]bool
	At      time.Time
}

// Of is a fault that is about to strike these nodes; At is to be set when it
// does.
func Of(ctx context.Context, t *trial.Trial, victims ...*proc.Node) (Fault, error) {
	f := Fault{Shards: map[int]bool{}}
	var s proc.Status
	if err := t.Cluster.Query(ctx, &s, "cluster", "status"); err != nil {
		return f, err
	}
	for _, v := range victims {
		f.Victims = append(f.Victims, v.SMTP)
		for _, shard := range s.Shards {
			if shard.Leader == v.Name {
				f.Shards[shard.ID] = true
			}
		}
	}
	return f, nil
}

// flying is how long after the fault, beside the next hop's delay, a delivery
// may still be one that the victim had sent before it.
const flying = 100 * time.Millisecond

// Takeover finds the first delivery after the fault of a message that the
// victims' shards had before it, where the next hop takes delay for each:
// seconds after the fault, negative for none.
func (f Fault) Takeover(s *sink.Sink, acked map[string]load.Record, delay time.Duration) float64 {
	first := -1.0
	_ = s.Each(func(s sink.Seen) error {
		r, ok := acked[s.ID]
		if !ok || !f.Shards[shard(r.QueueID)] || r.At.After(f.At) {
			return nil
		}
		after := s.First.Sub(f.At)
		if after > flying+delay && (first < 0 || after.Seconds() < first) {
			first = after.Seconds()
		}
		return nil
	})
	return first
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
