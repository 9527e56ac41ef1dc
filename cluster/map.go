package cluster

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"quorumta/cluster/control"
	"quorumta/cluster/peers"
)

const (
	methodMap = "cluster.map"
	// mapTimeout bounds fetching a map.
	mapTimeout = time.Second
)

// Map is the newest map of the cluster that this node has seen. The caller
// does not change it.
func (n *Node) Map() control.Map { return n.atlas.Now().Map }

// Shards are the shards of the cluster, ascending, those that retire included.
func (n *Node) Shards() []ShardID { return slices.Clone(n.atlas.Now().IDs) }

// firstMap is the map before any was seen: what was kept, or what the options
// tell of a cluster that is being founded. A node that joins waits for one.
func (n *Node) firstMap() (control.Map, error) {
	text, err := n.papers.Map()
	if err == nil && text != nil {
		return control.DecodeMap(text)
	}
	if err != nil {
		n.o.Log.Warn("the map that was kept cannot be read; the others are asked for it", "err", err)
	}
	if n.o.Joining {
		return control.Map{}, nil
	}
	var members []control.Member
	for _, name := range slices.Sorted(maps.Keys(n.o.Members)) {
		incarnation := n.o.Incarnations[name]
		if name == n.o.Name {
			incarnation = n.papers.Incarnation()
		}
		if incarnation == "" && !n.papers.Fresh() {
			return control.Map{}, nil
		}
		if incarnation == "" {
			return control.Map{}, fmt.Errorf("first start: member %s has no incarnation", name)
		}
		x := control.Member{Name: name, Incarnation: incarnation, Address: n.o.Members[name]}
		if name == n.o.Name {
			x = n.member() // the others tell what they are
		}
		members = append(members, x)
	}
	m := control.Found(members, n.o.Replication, n.o.Shards)
	return m, n.papers.KeepMap(m.Encode())
}

// tooOld is why the program cannot take part under the map, or nil.
func (n *Node) tooOld(m control.Map) error {
	if m.Level <= n.o.Level {
		return nil
	}
	return fmt.Errorf("the cluster has finished its upgrade to level %d, and this program knows level %d: install the newer program", m.Level, n.o.Level)
}

// heard acts on what another member said of itself.
func (n *Node) heard(ctx context.Context, name string, r peers.Report) {
	if r.Map <= n.atlas.Now().Version {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, mapTimeout)
	defer cancel()
	var m control.Map
	if err := n.ask(ctx, name, methodMap, struct{}{}, &m); err != nil {
		n.o.Log.Info("cannot fetch a newer map", "from", name, "err", err)
		return
	}
	n.atlas.Offer(m)
}
