package salvage

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"

	"quorumta/cluster/control"
	"quorumta/cluster/papers"
	"quorumta/cluster/store"
	"quorumta/cmd/quorumta/durable"
	"quorumta/cmd/quorumta/setup"
)

// storeMemory is what a store may use that copies, bytes.
const storeMemory = 64 << 20

// renewal builds a data directory in a folder of the one that it will be.
type renewal struct {
	data, dir string
	owner     papers.Owner
	store     *store.Store
	shards    []uint16 // that it has replicas of
}

// unfinished is the folder in which a data directory is built.
const unfinished = "unfinished"

// renew begins a data directory. What an earlier try left is removed.
func renew(data, name, cluster, incarnation string) (*renewal, error) {
	r := &renewal{data: data, dir: filepath.Join(data, unfinished)}
	if err := os.RemoveAll(r.dir); err != nil {
		return nil, fmt.Errorf("remove what was left unfinished: %w", err)
	}
	if err := os.MkdirAll(r.dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	r.owner = papers.Owner{FS: vfs.Default, Dir: r.dir, Name: name, Cluster: cluster, Incarnation: incarnation}
	var err error
	r.store, err = openStore(r.dir)
	return r, err
}

// openStore opens the store in a data directory. It fails where a node runs on
// it.
func openStore(dir string) (*store.Store, error) {
	s, err := store.Open(store.Options{
		Dir: dir, FS: vfs.Default, MemoryBytes: storeMemory, Log: slog.New(slog.DiscardHandler), Fatal: func(error) {},
	})
	if err != nil {
		return nil, fmt.Errorf("open %s (no node may run on it): %w", dir, err)
	}
	return s, nil
}

// aside is the folder that gets the old data.
const aside = "before-recover"

// finish writes what was done, the map of the cluster, and the papers of a node
// that has what was built. From then on settle is the only way.
func (r *renewal) finish(m control.Map, done report) error {
	err := r.store.Close()
	r.store = nil
	if err != nil {
		return err
	}
	if err := done.write(r.dir); err != nil {
		return err
	}
	return r.sign(m)
}

// emptied is the file in the folder of what was built that says that the old
// data has gone aside.
const emptied = "emptied"

// settle puts what was there aside, and what was built in its place. It goes on
// where an earlier call was cut off. The file "id" goes first and comes last,
// so that no node starts in between.
func settle(data string) error {
	built, old := filepath.Join(data, unfinished), filepath.Join(data, aside)
	if _, err := os.Lstat(filepath.Join(built, emptied)); errors.Is(err, fs.ErrNotExist) {
		names, err := inside(data, unfinished, copied, aside, setup.OwnerFile)
		if err != nil {
			return err
		}
		slices.Reverse(names)
		if err := move(data, old, names); err != nil {
			return fmt.Errorf("put the old data aside: %w", err)
		}
		if err := durable.Create(filepath.Join(built, emptied), nil); err != nil {
			return err
		}
	}
	names, err := inside(built, emptied)
	if err != nil {
		return err
	}
	if err := move(built, data, names); err != nil {
		return fmt.Errorf("put the new data in its place: %w", err)
	}
	return os.RemoveAll(built)
}

// inside are the names in a folder but for some, "id" the last.
func inside(dir string, but ...string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	id := false
	for _, e := range entries {
		switch name := e.Name(); {
		case name == "id":
			id = true
		case !slices.Contains(but, name):
			names = append(names, name)
		}
	}
	if id {
		names = append(names, "id")
	}
	return names, nil
}

// move moves files and folders, in order, each durably.
func move(from, to string, names []string) error {
	for _, name := range names {
		if err := os.MkdirAll(to, 0o700); err != nil {
			return err
		}
		if err := os.Rename(filepath.Join(from, name), filepath.Join(to, name)); err != nil {
			return err
		}
		if err := errors.Join(durable.Names(to), durable.Names(from)); err != nil {
			return err
		}
	}
	return nil
}

// settled reports whether nothing waits for settle.
func settled(data string) bool {
	_, err := os.Lstat(filepath.Join(data, unfinished, "id"))
	return err != nil
}

// sign writes the papers and the map.
func (r *renewal) sign(m control.Map) error {
	// Papers are refused where there is data without them; here it is on
	// purpose, so they are written beside it.
	desk := filepath.Join(r.dir, "papers")
	if err := os.Mkdir(desk, 0o700); err != nil {
		return err
	}
	owner := r.owner
	owner.Dir = desk
	p, err := papers.Open(owner)
	if err != nil {
		return err
	}
	if err := p.KeepMap(m.Encode()); err != nil {
		return err
	}
	if slices.Contains(m.Control.Founders, p.RaftID()) {
		if err := p.Set(papers.Founding, 0); err != nil {
			return err
		}
	}
	if err := p.Set(papers.Held, r.shards...); err != nil {
		return err
	}
	for _, name := range []string{"map", "id"} {
		if err := os.Rename(filepath.Join(desk, name), filepath.Join(r.dir, name)); err != nil {
			return err
		}
	}
	return errors.Join(os.Remove(desk), durable.Names(r.dir))
}

// abandon removes what was built. It does nothing after finish.
func (r *renewal) abandon() {
	if r.store == nil {
		return
	}
	_ = r.store.Close()
	_ = os.RemoveAll(r.dir)
}
