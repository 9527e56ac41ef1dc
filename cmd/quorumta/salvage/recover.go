package salvage

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"quorumta/cluster/control"
	"quorumta/cluster/papers"
	"quorumta/cluster/store"
	"quorumta/cmd/quorumta/setup"
	"quorumta/internal/config"
	"quorumta/queue/event"
	"quorumta/queue/state"
)

// Recovered says what a survivor has, and what may be missing.
type Recovered struct {
	Node string `json:"node"`
	// Was and Cluster are the ids of the old and the new cluster.
	Was     string `json:"was"`
	Cluster string `json:"cluster"`
	// Old is the folder with the old data.
	Old    string  `json:"old"`
	Shards []Shard `json:"shards"`
	// Absent are the shards of the old cluster of which this node had no
	// replica: what they hold is on other nodes, or lost.
	Absent []uint16 `json:"absent"`
	// Lost are the other members of the old cluster.
	Lost []string `json:"lost"`
}

// Shard is what a survivor has of a shard.
type Shard struct {
	ID uint16 `json:"id"`
	// Index and Term are of the last entry of its log, Last the newest time on
	// record. What a majority without this node acknowledged behind them is
	// missing here.
	Index uint64    `json:"index"`
	Term  uint64    `json:"term"`
	Last  time.Time `json:"last"`
	// Unconfirmed counts the entries behind the last that the state had: they
	// were taken over, though it is not known here that a majority had them.
	Unconfirmed uint64 `json:"unconfirmed"`
	Messages    uint64 `json:"messages"`
	// InDoubt are the messages that somebody was delivering.
	InDoubt []string `json:"in_doubt"`
	// Cut is set where the log ends before what was synced once.
	Cut string `json:"cut,omitempty"`
}

// Recover makes the node of a configuration, which does not run, a new cluster
// of its own, with what it has of the old one. deliver lets it go on at once;
// else all waits that was in the queue. The old data are read from a copy, and
// stay as they are.
func Recover(f *config.File, version string, deliver bool, told func(string)) (*Recovered, error) {
	if cutOff, ok, err := pending(f.Data); err != nil || ok {
		return goOn(f, cutOff, err, told)
	}
	out := &Recovered{Node: f.Node, Cluster: newCluster(), Old: filepath.Join(f.Data, aside), Absent: []uint16{}, Lost: []string{}}
	if _, err := os.Lstat(out.Old); err == nil {
		return nil, fmt.Errorf("%s is there, from an earlier recovery: move it away", out.Old)
	}
	old, err := papers.Open(papers.Owner{FS: vfs.Default, Dir: f.Data, Name: f.Node})
	if err != nil {
		return nil, err
	}
	out.Was = old.Cluster()
	before, err := out.survey(old)
	if err != nil {
		return nil, err
	}
	self := control.Member{
		Name: f.Node, Incarnation: setup.NewIncarnation(), Address: f.Cluster.Members[f.Node], Version: version, Level: event.Newest,
	}
	shards := held(old)
	if len(shards) == 0 {
		return nil, fmt.Errorf("%s holds no shard: recover on another survivor", f.Data)
	}
	m := chart([]control.Member{self}, before.Replication, shards)
	m.Next = max(m.Next, before.Next)
	from, err := liken(f.Data)
	if err != nil {
		return nil, err
	}
	defer func() { _ = from.end() }()
	r, err := renew(f.Data, f.Node, out.Cluster, self.Incarnation)
	if err != nil {
		return nil, err
	}
	defer r.abandon()
	for _, id := range shards {
		told(fmt.Sprintf("taking over shard %d", id))
		shard, err := r.takeOver(from.Store, old.Cluster(), m, id, &before, !deliver)
		if err != nil {
			return nil, fmt.Errorf("shard %d: %w", id, err)
		}
		out.Shards = append(out.Shards, *shard)
	}
	if err := errors.Join(from.forget(), r.finish(m, report{Recovered: out})); err != nil {
		return nil, err
	}
	return out, settle(f.Data)
}

// goOn puts in its place what an earlier recovery has built.
func goOn(f *config.File, r report, err error, told func(string)) (*Recovered, error) {
	if err != nil {
		return nil, err
	}
	if r.Recovered == nil {
		return nil, Check(f.Data)
	}
	told("an earlier recovery was cut off at its very end: going on with it")
	return r.Recovered, settle(f.Data)
}

// Look says what the node of a configuration, which does not run, has: of
// several survivors the one whose logs end last is recovered. Nothing is
// changed.
func Look(f *config.File) (*Recovered, error) {
	if err := Check(f.Data); err != nil {
		return nil, err
	}
	old, err := papers.Open(papers.Owner{FS: vfs.Default, Dir: f.Data, Name: f.Node})
	if err != nil {
		return nil, err
	}
	out := &Recovered{Node: f.Node, Was: old.Cluster(), Absent: []uint16{}, Lost: []string{}}
	if _, err := out.survey(old); err != nil {
		return nil, err
	}
	from, err := liken(f.Data)
	if err != nil {
		return nil, err
	}
	defer func() { _ = from.end() }()
	for _, id := range held(old) {
		o := remains{id: id}
		if err := o.open(from.Store, old.Cluster()); err != nil {
			return nil, fmt.Errorf("shard %d: %w", id, err)
		}
		view := o.state.View()
		shard := Shard{ID: id, Last: state.LastTime(view), Messages: state.Count(view).Messages, InDoubt: []string{}}
		shard.Index, shard.Term = o.last()
		view.Close()
		out.Shards = append(out.Shards, shard)
	}
	return out, nil
}

// held are the shards of which a node has a replica.
func held(p *papers.Papers) []uint16 {
	return slices.DeleteFunc(p.Replicas(), func(shard uint16) bool { return shard == 0 || p.Stage(shard) != papers.Held })
}

// survey reads the old map, and notes what is not here.
func (out *Recovered) survey(old *papers.Papers) (m control.Map, err error) {
	text, err := old.Map()
	if err != nil || text == nil {
		return m, err
	}
	if m, err = control.DecodeMap(text); err != nil {
		return m, err
	}
	for _, s := range m.Shards {
		if old.Stage(s.ID) != papers.Held {
			out.Absent = append(out.Absent, s.ID)
		}
	}
	for _, x := range m.Members {
		if x.Name != out.Node {
			out.Lost = append(out.Lost, x.Name)
		}
	}
	return m, nil
}

// takeOver folds what the old log still holds and founds the shard with it.
func (r *renewal) takeOver(from *store.Store, cluster string, m control.Map, id uint16, before *control.Map, hold bool) (*Shard, error) {
	o, err := openShard(from, id, cluster)
	if err != nil {
		return nil, err
	}
	out := &Shard{ID: id, InDoubt: []string{}, Cut: o.cut}
	if out.Unconfirmed, err = o.replay(before); err != nil {
		return nil, err
	}
	out.Index, out.Term = o.last()
	view := o.state.View()
	defer view.Close()
	out.Last, out.Messages = state.LastTime(view), state.Count(view).Messages
	state.Claims(view, func(c state.Claim) bool {
		if id := string(c.ID); !slices.Contains(out.InDoubt, id) {
			out.InDoubt = append(out.InDoubt, id)
		}
		return true
	})
	shard, _ := m.Shard(id)
	b := beginning{shard: shard, lineage: newLineage(), hold: hold, made: out.Last, by: ByRecover}
	if b.made.IsZero() {
		b.hold = false // nothing was ever in it
	}
	in, w := io.Pipe()
	go func() {
		_, err := view.WriteTo(w)
		_ = w.CloseWithError(err) // never fails
	}()
	err = r.found(b, r.owner.Cluster, in)
	_ = in.CloseWithError(errors.New("nobody reads any more")) // never fails
	return out, err
}

// messages counts what is open in the shards that were founded.
func (r *renewal) messages() (uint64, error) {
	var total uint64
	for _, id := range r.shards {
		st, err := r.store.State(id, r.owner.Cluster)
		if err != nil {
			return 0, err
		}
		view := st.View()
		total += state.Count(view).Messages
		view.Close()
	}
	return total, nil
}

// newCluster draws a cluster's id.
func newCluster() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand since Go 1.24)
	return hex.EncodeToString(b[:])
}

func newLineage() (l [16]byte) {
	_, _ = rand.Read(l[:])
	return l
}
