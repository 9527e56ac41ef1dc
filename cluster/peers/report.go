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
