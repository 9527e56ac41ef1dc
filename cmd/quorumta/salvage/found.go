package salvage

import (
	"fmt"
	"io"
	"time"

	"github.com/hashicorp/raft"

	"quorumta/cluster/control"
	"quorumta/queue/event"
	"quorumta/queue/state"
)

// By whom what waits is on record.
const (
	ByRecover = "recover"
	byRestore = "restore"
)

// beginning is how a shard of the new cluster begins.
type beginning struct {
	shard   control.Shard
	lineage [16]byte
	// hold has what the shard holds wait, as of a backup of the time made.
	hold bool
	made time.Time
	by   string
}

// found begins a shard with the state of a stream.
func (r *renewal) found(b beginning, cluster string, stream io.Reader) error {
	err := r.store.Found(b.shard.ID, storeFounding(cluster, b), stream)
	if err != nil {
		return err
	}
	r.shards = append(r.shards, b.shard.ID)
	if !b.hold {
		return nil
	}
	st, err := r.store.State(b.shard.ID, cluster)
	if err != nil {
		return err
	}
	index, term := st.Applied()
	u := st.Update()
	defer u.Discard()
	// A backup of what was itself restored, and not let go yet, begins its wait
	// anew, with what was accepted since.
	at := b.made.UTC().Truncate(time.Millisecond)
	results := state.Fold(u, u, index, term, event.Entry{Term: term, Groups: []event.Group{
		{At: at, Events: []event.Event{&event.Resumed{By: b.by}}},
		{At: at, Events: []event.Event{&event.Suspended{By: b.by, Backup: at}}},
	}})
	if !results[1].OK() {
		return fmt.Errorf("have what shard %d holds wait: %s", b.shard.ID, results[1])
	}
	u.Commit(index, term, st.Chain())
	return r.store.FlushState()
}

// servers are the voters of a shard's first configuration.
func servers(s control.Shard) raft.Configuration {
	var c raft.Configuration
	for _, id := range s.Founders {
		c.Servers = append(c.Servers, raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(id)})
	}
	return c
}

// chart is the first map of a cluster with these shards, the same on every
// founder. All that this program writes may be written: no older one is a
// member.
func chart(members []control.Member, replication int, shards []uint16) control.Map {
	m := control.Found(members, replication, len(shards))
	m.WantShards, m.Level, m.Next = 0, event.Newest, 1
	for i, id := range shards {
		m.Shards[i].ID = id
		m.Next = max(m.Next, id+1)
	}
	return m
}
