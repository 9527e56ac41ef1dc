package salvage

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"quorumta/cluster/control"
	"quorumta/cluster/store"
	"quorumta/cluster/store/backup"
	"quorumta/cmd/quorumta/setup"
	"quorumta/internal/config"
	"quorumta/queue/event"
)

// Restored says what a node was given.
type Restored struct {
	Node    string `json:"node"`
	Cluster string `json:"cluster"`
	// From is the id of the cluster that the backup is of, Made when.
	From string    `json:"from"`
	Made time.Time `json:"made"`
	// Shards are those of the backup; Here are those of which this node has a
	// replica.
	Shards []uint16 `json:"shards"`
	Here   []uint16 `json:"here"`
	// Messages counts the open ones of the shards that are here; they wait.
	Messages uint64 `json:"messages"`
}

// Restore gives a founder of a new cluster, before its first start, its part of
// a backup. The same file must be restored on all founders. After it was cut off
// it begins anew or, where all was built, goes on.
func Restore(f *config.File, file, version string, told func(string)) (*Restored, error) {
	cutOff, ok, err := pending(f.Data)
	if err != nil {
		return nil, err
	}
	var first setup.FirstStart
	if !ok {
		if first, err = blank(f); err != nil {
			return nil, err
		}
	}
	in, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = in.Close() }()
	told("reading the backup over")
	head, sections, err := backup.Verify(in)
	if err != nil {
		return nil, err
	}
	if ok {
		return putInPlace(f, cutOff, head, told)
	}
	if len(sections) == 0 {
		return nil, errors.New("the backup has no shards")
	}
	if _, err := in.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	out := &Restored{Node: f.Node, Cluster: derive(setup.Founding(first, f), head, sections), From: head.Cluster, Made: head.Made, Here: []uint16{}}
	for _, s := range sections {
		out.Shards = append(out.Shards, s.Shard)
	}
	slices.Sort(out.Shards)
	m := chart(founders(f, first, version), f.Cluster.Replicas, out.Shards)
	r, err := renew(f.Data, f.Node, out.Cluster, first.Incarnations[f.Node])
	if err != nil {
		return nil, err
	}
	defer r.abandon()
	if err := r.restore(in, m, sections, head.Made, told); err != nil {
		return nil, err
	}
	out.Here = slices.Sorted(slices.Values(r.shards))
	if out.Messages, err = r.messages(); err != nil {
		return nil, err
	}
	if err := r.finish(m, report{Restored: out}); err != nil {
		return nil, err
	}
	return out, place(f)
}

// putInPlace puts in its place what an earlier restore of the same backup has
// built.
func putInPlace(f *config.File, r report, head backup.Header, told func(string)) (*Restored, error) {
	switch out := r.Restored; {
	case out == nil:
		return nil, Check(f.Data)
	case out.From != head.Cluster || !out.Made.Equal(head.Made):
		return nil, fmt.Errorf("a restore was cut off at its very end, of the backup of cluster %s made %s, and this is another: restore that one again, it goes on where it was",
			out.From, out.Made.Format(time.RFC3339))
	}
	told("an earlier restore was cut off at its very end: going on with it")
	return r.Restored, place(f)
}

// place puts what was built in its place, and with it the file of the first
// start: it is beside the configuration until nothing but this can follow.
func place(f *config.File) error {
	if err := setup.KeepFirstStart(filepath.Dir(f.Path()), filepath.Join(f.Data, unfinished)); err != nil {
		return err
	}
	return settle(f.Data)
}

// blank checks that the node is a founder before its first start.
func blank(f *config.File) (setup.FirstStart, error) {
	dir := filepath.Dir(f.Path())
	first, err := setup.ReadFirstStart(dir, f.Node)
	switch {
	case err != nil:
		return first, err
	case first.Cluster == "":
		return first, fmt.Errorf("%s is not there: a backup is restored into a new cluster, on every node before its first start. "+
			"Write one with quorumta init", filepath.Join(dir, setup.FirstStartFile))
	case first.Joining:
		return first, errors.New("this node joins a running cluster, which has its queue: a backup is restored into a new cluster")
	}
	for _, name := range []string{"id", "log", "state"} {
		if _, err := os.Lstat(filepath.Join(f.Data, name)); err == nil {
			return first, fmt.Errorf("%s holds data already: a backup is restored into an empty data directory", f.Data)
		}
	}
	return first, nil
}

// derive is the id of the cluster that the founders of a cluster become by
// restoring a backup: a founder that did not, or that took another file, is not
// among them.
func derive(cluster string, head backup.Header, sections []backup.Section) string {
	h := sha256.New()
	fmt.Fprintf(h, "quorumta restored %s from %s of %d", cluster, head.Cluster, head.Made.UnixNano())
	for _, s := range sections {
		lineage := backup.Lineage(cluster, s)
		h.Write(lineage[:]) // a hash never fails
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// founders are the new cluster's members, as all founders have them.
func founders(f *config.File, first setup.FirstStart, version string) []control.Member {
	var all []control.Member
	for _, name := range slices.Sorted(maps.Keys(first.Incarnations)) {
		all = append(all, control.Member{
			Name: name, Incarnation: first.Incarnations[name], Address: f.Cluster.Members[name],
			Version: version, Level: event.Newest,
		})
	}
	return all
}

// restore founds the shards that the map gives to this node.
func (r *renewal) restore(file io.Reader, m control.Map, sections []backup.Section, made time.Time, told func(string)) error {
	in, err := backup.NewReader(file)
	if err != nil {
		return err
	}
	self := r.owner.Name + "/" + r.owner.Incarnation
	for _, section := range sections {
		stream, err := in.Next()
		if err != nil {
			return err
		}
		shard, ok := m.Shard(section.Shard)
		if !ok || !slices.Contains(shard.Replicas, self) {
			continue
		}
		told(fmt.Sprintf("restoring shard %d: %d bytes", section.Shard, section.Size))
		b := beginning{shard: shard, lineage: backup.Lineage(r.owner.Cluster, section), hold: true, made: made, by: byRestore}
		if err := r.found(b, r.owner.Cluster, stream); err != nil {
			return err
		}
	}
	if _, err := in.Next(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("the backup has changed while it was restored: %w", err)
	}
	return nil
}

// storeFounding is a beginning as the store has it.
func storeFounding(cluster string, b beginning) store.Founding {
	return store.Founding{Cluster: cluster, Configuration: servers(b.shard), Lineage: b.lineage}
}
