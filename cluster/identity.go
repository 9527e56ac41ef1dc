package cluster

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
)

// identity is the file "id" in the data directory.
type identity struct {
	Cluster     string `json:"cluster"`
	Node        string `json:"node"`
	Incarnation string `json:"incarnation"`
	// Shards is how many the cluster was founded with.
	Shards int `json:"shards"`
	// Founded: the first start came to its end. From then on an absent log is
	// a lost log, not a new one.
	Founded bool `json:"founded"`
}

// raftID is the node's id in every shard's Raft configuration.
func (id identity) raftID() string { return id.Node + "/" + id.Incarnation }

// identify reads the identity, or writes it at a legal first start.
func identify(o *Options) (identity, error) {
	path := o.FS.PathJoin(o.Dir, "id")
	id, err := readIdentity(o.FS, path)
	switch {
	case err == nil:
		return id, id.agrees(o)
	case !errors.Is(err, errNoIdentity):
		return id, err
	}
	if names, err := o.FS.List(o.Dir); err == nil && slices.Contains(names, "log") {
		return id, fmt.Errorf("%s holds data but no id file: restore the file, or let the node rejoin as new with an empty directory", o.Dir)
	}
	if o.alone() {
		o.ClusterID, o.Incarnations = rand.Text(), map[string]string{o.Name: rand.Text()}
	}
	if o.ClusterID == "" || o.Incarnations[o.Name] == "" {
		return id, fmt.Errorf("%s is empty and this is not the first start that init prepared: a node that lost its data must not vote. "+
			"To add it to a running cluster: quorumta cluster join --config FILE", o.Dir)
	}
	id = identity{Cluster: o.ClusterID, Node: o.Name, Incarnation: o.Incarnations[o.Name], Shards: o.Shards}
	return id, id.write(o)
}

// agrees compares the directory's identity with the configuration's.
func (id identity) agrees(o *Options) error {
	switch {
	case id.Node != o.Name:
		return fmt.Errorf("%s belongs to node %s, and this is %s: give each node its own data directory", o.Dir, id.Node, o.Name)
	case o.ClusterID != "" && o.ClusterID != id.Cluster:
		return fmt.Errorf("%s belongs to cluster %s, and the configuration to %s: restore the right one, or empty the directory and join",
			o.Dir, id.Cluster, o.ClusterID)
	case o.Incarnations[o.Name] != "" && o.Incarnations[o.Name] != id.Incarnation:
		return fmt.Errorf("%s was made by another incarnation of %s than the configuration names", o.Dir, o.Name)
	}
	return nil
}

var errNoIdentity = errors.New("no identity")

func readIdentity(fs vfs.FS, path string) (id identity, err error) {
	f, err := fs.Open(path)
	if err != nil {
		if _, e := fs.Stat(path); e != nil {
			return id, errNoIdentity
		}
		return id, fmt.Errorf("read identity: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err == nil {
		err = json.Unmarshal(text, &id)
	}
	if err != nil {
		return id, fmt.Errorf("read identity %s: %w", path, err)
	}
	return id, nil
}

// write replaces the file; it is durable when write returns.
func (id identity) write(o *Options) error {
	text, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		return err
	}
	if err := o.FS.MkdirAll(o.Dir, 0o700); err != nil {
		return fmt.Errorf("make data directory: %w", err)
	}
	path := o.FS.PathJoin(o.Dir, "id")
	f, err := o.FS.Create(path+".new", vfs.WriteCategoryUnspecified)
	if err != nil {
		return fmt.Errorf("write identity: %w", err)
	}
	_, err = f.Write(append(text, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write identity: %w", err)
	}
	if err := o.FS.Rename(path+".new", path); err != nil {
		return fmt.Errorf("write identity: %w", err)
	}
	d, err := o.FS.OpenDir(o.Dir)
	if err != nil {
		return fmt.Errorf("write identity: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}

// founders are the servers of every shard's first configuration, the same on
// all members.
func founders(o *Options) ([]raft.Server, error) {
	var servers []raft.Server
	for _, name := range slices.Sorted(maps.Keys(o.Members)) {
		if o.Incarnations[name] == "" {
			return nil, fmt.Errorf("first start: member %s has no incarnation", name)
		}
		id := name + "/" + o.Incarnations[name]
		servers = append(servers, raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(id)})
	}
	return servers, nil
}
