package papers

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Owner says whose papers are opened.
type Owner struct {
	FS   vfs.FS
	Dir  string
	Name string
	// Cluster and Incarnation are needed to write new papers; "" takes what is
	// there.
	Cluster, Incarnation string
	// Alone: the node is a cluster of its own and draws both itself.
	Alone bool
}

// record is the file "id".
type record struct {
	Cluster     string `json:"cluster"`
	Node        string `json:"node"`
	Incarnation string `json:"incarnation"`
	// Replicas is what the node has of each shard.
	Replicas map[uint16]Stage `json:"replicas,omitempty"`

	// Admitted: the node has seen itself on a map.
	Admitted bool `json:"admitted,omitempty"`

	// Shards and Founded are what files had instead of Replicas: all shards
	// from 1 to Shards, on every node.
	Shards  int  `json:"shards,omitempty"`
	Founded bool `json:"founded,omitempty"`
}

// Papers are a node's. Its methods are safe for concurrent use.
type Papers struct {
	owner Owner
	fresh bool
	old   bool

	// files guards what is on disk, and is held while it is written; a reader of
	// id does not wait for a disk that hangs.
	files sync.Mutex
	mu    sync.Mutex // guards id, which is changed under files too
	id    record
}

// Open reads the papers, or writes new ones in an empty directory where the
// owner has all that is needed.
func Open(o Owner) (*Papers, error) {
	p := &Papers{owner: o}
	text, sealed, err := p.read("id")
	if err == nil {
		if err := json.Unmarshal(text, &p.id); err != nil {
			return nil, fmt.Errorf("read identity %s: %w", p.path("id"), err)
		}
		if !sealed && p.id.Shards == 0 {
			return nil, damaged(p.path("id"))
		}
		p.old = p.id.Shards > 0
		p.id.convert()
		return p, p.agree()
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read identity: %w", err)
	}
	if names, err := o.FS.List(o.Dir); err == nil && slices.Contains(names, "log") {
		return nil, fmt.Errorf("%s holds data but no id file: restore the file, or let the node rejoin as new with an empty directory", o.Dir)
	}
	if o.Alone {
		o.Cluster, o.Incarnation = rand.Text(), rand.Text()
	}
	if o.Cluster == "" || o.Incarnation == "" {
		return nil, fmt.Errorf("%s is empty and this is not the first start that init prepared: a node that lost its data must not vote. "+
			"To add it to a running cluster: quorumta cluster join --config FILE", o.Dir)
	}
	p.fresh = true
	p.id = record{Cluster: o.Cluster, Node: o.Name, Incarnation: o.Incarnation, Replicas: map[uint16]Stage{}}
	if err := p.write(p.id); err != nil {
		return nil, err
	}
	if err := p.syncDir(o.FS.PathDir(o.Dir)); err != nil {
		return nil, fmt.Errorf("sync the directory above %s: %w", o.Dir, err)
	}
	return p, nil
}

// convert reads what older files said of shards.
func (r *record) convert() {
	if r.Replicas == nil {
		r.Replicas = map[uint16]Stage{}
	}
	stage := Founding
	if r.Founded {
		stage = Held
	}
	for shard := 1; shard <= r.Shards; shard++ {
		r.Replicas[uint16(shard)] = stage
	}
	r.Shards, r.Founded = 0, false
}

// agree compares the papers with their owner.
func (p *Papers) agree() error {
	o, id := p.owner, p.id
	switch {
	case id.Node != o.Name:
		return fmt.Errorf("%s belongs to node %s, and this is %s: give each node its own data directory", o.Dir, id.Node, o.Name)
	case o.Cluster != "" && o.Cluster != id.Cluster:
		return fmt.Errorf("%s belongs to cluster %s, and the configuration to %s: restore the right one, or empty the directory and join",
			o.Dir, id.Cluster, o.Cluster)
	case o.Incarnation != "" && o.Incarnation != id.Incarnation:
		return fmt.Errorf("%s was made by another incarnation of %s than the configuration names: restore the right directory, or empty it and join", o.Dir, o.Name)
	}
	return nil
}

// Fresh reports whether the papers are new: this is the node's first start.
func (p *Papers) Fresh() bool { return p.fresh }

// Admitted reports whether the node has ever seen itself on a map: a map that it
// is not on says then that it is a member no more.
func (p *Papers) Admitted() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.id.Admitted
}

// Admit notes that the node has seen itself on a map; it is durable when Admit
// returns nil.
func (p *Papers) Admit() error {
	return p.change(func(id *record) bool {
		news := !id.Admitted
		id.Admitted = true
		return news
	})
}

// Old reports whether the papers are of a version that had no map.
func (p *Papers) Old() bool { return p.old }

// Cluster is the cluster's id.
func (p *Papers) Cluster() string { return p.id.Cluster }

// Incarnation tells the node from one of its name that lost its data.
func (p *Papers) Incarnation() string { return p.id.Incarnation }

// RaftID is the node's id in every shard's Raft configuration.
func (p *Papers) RaftID() string { return p.id.Node + "/" + p.id.Incarnation }

// change has f change the papers, and report whether it has; they are durable
// before anybody reads them.
func (p *Papers) change(f func(*record) bool) error {
	p.files.Lock()
	defer p.files.Unlock()
	p.mu.Lock()
	id := p.id
	p.mu.Unlock()
	id.Replicas = maps.Clone(id.Replicas)
	if !f(&id) {
		return nil
	}
	if err := p.write(id); err != nil {
		return err
	}
	p.mu.Lock()
	p.id.Replicas, p.id.Admitted = id.Replicas, id.Admitted // the rest never changes
	p.mu.Unlock()
	return nil
}

func (p *Papers) write(id record) error {
	text, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		return err
	}
	if err := p.replace("id", append(text, '\n')); err != nil {
		return fmt.Errorf("write identity: %w", err)
	}
	return nil
}

// Map is what KeepMap kept last; nil if there is none.
func (p *Papers) Map() ([]byte, error) {
	p.files.Lock()
	defer p.files.Unlock()
	text, sealed, err := p.read("map")
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err == nil && !sealed:
		return nil, damaged(p.path("map"))
	}
	return text, err
}

// KeepMap keeps the map; it is durable when KeepMap returns nil.
func (p *Papers) KeepMap(text []byte) error {
	p.files.Lock()
	defer p.files.Unlock()
	if err := p.replace("map", text); err != nil {
		return fmt.Errorf("write the map: %w", err)
	}
	return nil
}
