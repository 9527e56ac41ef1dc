package peers

import "slices"

// Report is what a node tells the others about itself. Its JSON may gain
// fields; none changes its meaning.
type Report struct {
	Boot        uint64 `json:"boot"`
	Incarnation string `json:"incarnation"`
	Version     string `json:"version"`
	Level       int    `json:"level"`
	Free        uint64 `json:"free"`
	Slow        bool   `json:"slow"`
	Draining    bool   `json:"draining"`
	// Serves: it may take mail from clients, and has to end that before it
	// leaves.
	Serves bool `json:"serves,omitempty"`
	// Map is the version of the newest map it has.
	Map    uint64             `json:"map"`
	Shards map[uint16]Replica `json:"shards"`
}

// Replica is what a node tells about its replica of a shard.
type Replica struct {
	Term    uint64 `json:"term"`
	Commit  uint64 `json:"commit,omitempty"`
	Applied uint64 `json:"applied"`
	Leads   bool   `json:"leads"`
	Stopped bool   `json:"stopped"`
	// Poison is the entry at which it stopped because that cannot be folded, or 0.
	Poison uint64 `json:"poison,omitempty"`
	// Sealed is the version of the map that has sealed the shard: nothing that
	// the node has begun to propose is still on its way, and after a restart it
	// will know the seal too.
	Sealed uint64 `json:"sealed,omitempty"`
	// Blank: the node was given the shard and has nothing of it yet.
	Blank bool `json:"blank,omitempty"`
	// Lost: the replica is damaged and waits to be made anew.
	Lost bool `json:"lost,omitempty"`
	// Office is there while the node holds the shard's office.
	Office *Office `json:"office,omitempty"`
}

// Office is what the holder of a shard's office knows of it.
type Office struct {
	// Voters and Others are the Raft ids of the configuration; Settled: it is
	// committed.
	Voters  []string `json:"voters"`
	Others  []string `json:"others,omitempty"`
	Settled bool     `json:"settled"`
	// Empty: the shard is retiring and holds nothing.
	Empty bool `json:"empty,omitempty"`
	// Ended is the version of the map that has sealed the shard, where it was
	// found empty after every replica had said that it is sealed: nothing comes
	// in any more.
	Ended uint64 `json:"ended,omitempty"`
}

// Leads are the shards whose office the node says it holds, ascending. The
// control group is not one of them.
func (r Report) Leads() []uint16 {
	var leads []uint16
	for shard, at := range r.Shards {
		if at.Leads && shard != 0 {
			leads = append(leads, shard)
		}
	}
	slices.Sort(leads)
	return leads
}
