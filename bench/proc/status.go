package proc

import "fmt"

// Status is what "cluster status --json" says.
type Status struct {
	Nodes []struct {
		Name    string `json:"name"`
		Address string `json:"address"`
		Alive   bool   `json:"alive"`
		Leads   []int  `json:"leads"`
	} `json:"nodes"`
	Shards []Shard `json:"shards"`
	// Control is the group that keeps the cluster's map.
	Control Shard `json:"control"`
}

// Shard is a shard as the asked node knows it.
type Shard struct {
	ID      int    `json:"id"`
	Leader  string `json:"leader"`
	Term    uint64 `json:"term"`
	Commit  uint64 `json:"commit"`
	Applied uint64 `json:"applied"`
	// Queued is how many messages are open.
	Queued   int `json:"queued"`
	Replicas []struct {
		Node    string `json:"node"`
		Applied uint64 `json:"applied"`
		Voter   bool   `json:"voter"`
	} `json:"replicas"`
	// Wanted are the nodes that are to have the replicas.
	Wanted []string `json:"wanted"`
	// Stopped says why the asked node's replica stopped; "" if it did not.
	Stopped string `json:"stopped"`
}

// Missing says what the shards lack of so many members, each of which is to
// have a replica of every shard, up to the number of replicas; "" for nothing:
// every shard has a leader and as many voters as it may have, and nobody that
// comes or goes.
func (s Status) Missing(members, replicas int) string {
	if len(s.Nodes) != members {
		return fmt.Sprintf("%d members, not %d", len(s.Nodes), members)
	}
	if len(s.Shards) == 0 {
		return "no shards"
	}
	for _, n := range s.Nodes {
		if !n.Alive {
			return n.Name + " is not alive"
		}
	}
	for _, shard := range s.Shards {
		if lack := shard.missing(min(members, replicas)); lack != "" {
			return fmt.Sprintf("shard %d: %s", shard.ID, lack)
		}
	}
	return ""
}

func (s Shard) missing(replicas int) string {
	voters := 0
	for _, r := range s.Replicas {
		if r.Voter {
			voters++
		}
	}
	switch {
	case s.Leader == "":
		return "no leader"
	case s.Stopped != "":
		return s.Stopped
	case voters != replicas || len(s.Replicas) != replicas || len(s.Wanted) != replicas:
		return fmt.Sprintf("%d voters of %d replicas, wanted %d", voters, len(s.Replicas), len(s.Wanted))
	}
	return ""
}

// Behind says what a node's replicas have not applied yet of what was committed
// then; "" for nothing.
func (s Status) Behind(then Status, node string) string {
	committed := map[int]uint64{}
	for _, shard := range then.Shards {
		committed[shard.ID] = shard.Commit
	}
	for _, shard := range s.Shards {
		for _, r := range shard.Replicas {
			if r.Node == node && r.Applied < committed[shard.ID] {
				return fmt.Sprintf("shard %d: entry %d of %d", shard.ID, r.Applied, committed[shard.ID])
			}
		}
	}
	return ""
}

// Votes is in how many shards a node votes, and in how many it has a replica
// that does not yet.
func (s Status) Votes(node string) (votes, waits int) {
	for _, shard := range s.Shards {
		for _, r := range shard.Replicas {
			switch {
			case r.Node != node:
			case r.Voter:
				votes++
			default:
				waits++
			}
		}
	}
	return votes, waits
}

// Count is what "queue count --json" says.
type Count struct {
	Total    int `json:"total"`
	Due      int `json:"due"`
	Deferred int `json:"deferred"`
	Held     int `json:"held"`
	InFlight int `json:"in_flight"`
	// Stale names shards that could not be asked at their leader.
	Stale []int `json:"stale"`
}

// Digest is what "cluster digest --json" says.
type Digest struct {
	Shards []ShardDigest `json:"shards"`
}

// ShardDigest are a shard's replicas at one place of its log.
type ShardDigest struct {
	ID       int `json:"id"`
	Replicas []struct {
		Node    string `json:"node"`
		Applied uint64 `json:"applied"`
		Chain   string `json:"chain"`
		SHA256  string `json:"sha256"`
		// Error says why a replica did not answer.
		Error string `json:"error"`
	} `json:"replicas"`
}

// Unanswered are the replicas that said nothing.
func (d Digest) Unanswered() []string {
	var out []string
	for _, s := range d.Shards {
		for _, r := range s.Replicas {
			if r.Error != "" {
				out = append(out, fmt.Sprintf("shard %d on %s: %s", s.ID, r.Node, r.Error))
			}
		}
	}
	return out
}

// Differences counts the replicas that answered and are not as the first of
// their shard.
func (d Digest) Differences() int {
	n := 0
	for _, s := range d.Shards {
		first := -1
		for i, r := range s.Replicas {
			switch {
			case r.Error != "":
			case first < 0:
				first = i
			default:
				f := s.Replicas[first]
				if r.Applied != f.Applied || r.Chain != f.Chain || r.SHA256 != f.SHA256 {
					n++
				}
			}
		}
	}
	return n
}
