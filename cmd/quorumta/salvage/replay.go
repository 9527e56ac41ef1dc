package salvage

import (
	"errors"
	"fmt"

	"github.com/hashicorp/raft"

	"quorumta/cluster/control"
	"quorumta/cluster/store"
	"quorumta/queue/event"
	"quorumta/queue/skip"
	"quorumta/queue/state"
)

// remains are what is left of a shard of the old cluster.
type remains struct {
	id    uint16
	log   *store.Log
	state *store.State
	snaps *store.Snapshots
	cut   string // what says that the log has lost its end
}

// open opens the shard's stores.
func (o *remains) open(s *store.Store, cluster string) (err error) {
	if o.log, err = s.Log(o.id); err != nil {
		return err
	}
	if o.state, err = s.State(o.id, cluster); err != nil {
		return err
	}
	o.snaps, err = s.Snapshots(o.id, o.state)
	return err
}

// openShard opens a shard of the old cluster. A snapshot that was received and
// not restored is restored.
func openShard(s *store.Store, id uint16, cluster string) (*remains, error) {
	o := &remains{id: id}
	if err := o.open(s, cluster); err != nil {
		return nil, err
	}
	if err := o.restoreReceived(); err != nil {
		return nil, err
	}
	mark, err := s.Mark(id)
	if err != nil {
		o.cut = err.Error()
		return o, nil
	}
	index, term := o.last()
	if markTerm, markIndex := mark.Value(); markTerm > term || (markTerm == term && markIndex > index) {
		o.cut = fmt.Sprintf("entry %d of term %d was synced once, and the log ends at entry %d of term %d", markIndex, markTerm, index, term)
	}
	return o, nil
}

func (o *remains) restoreReceived() error {
	id, _, _, ok := o.snaps.Received()
	if !ok {
		if o.state.Restoring() {
			return errors.New("a restore was cut off and its snapshot is gone: the state is lost, recover on another survivor")
		}
		return nil
	}
	_, r, err := o.snaps.Open(id)
	if err != nil {
		return err
	}
	if err := errors.Join(o.state.Restore(r), r.Close()); err != nil {
		return err
	}
	return o.snaps.Restored(id)
}

// last is the newest entry that is here, in the log or in the state.
func (o *remains) last() (index, term uint64) {
	index, term = o.log.Tail()
	if applied, appliedTerm := o.state.Applied(); applied > index {
		return applied, appliedTerm
	}
	return index, term
}

// replayBatch is how large a batch of effects gets, bytes.
const replayBatch = 4 << 20

// replay folds what the log has beyond the state, all of it: whether a majority
// had it is not known any more, and what nobody acknowledged is better kept
// than lost. It returns how many entries that were.
func (o *remains) replay(m *control.Map) (count uint64, err error) {
	applied, _ := o.state.Applied()
	if label, _ := o.snaps.Label(); applied < label {
		return 0, fmt.Errorf("the state ends at entry %d, before the snapshot's %d: it is lost, recover on another survivor", applied, label)
	}
	end, _ := o.log.Tail()
	if first, err := o.log.FirstIndex(); err != nil || (end > applied && first > applied+1) {
		return 0, errors.Join(err, fmt.Errorf("the log begins at entry %d, and the state ends at %d", first, applied))
	}
	u := o.state.Update()
	defer func() { u.Discard() }()
	var l raft.Log
	for index := applied + 1; index <= end; index++ {
		if err := o.log.GetLog(index, &l); err != nil {
			return count, fmt.Errorf("read entry %d: %w", index, err)
		}
		if l.Type == raft.LogCommand && len(l.Data) > 0 {
			if err := fold(u, o.id, &l, m); err != nil {
				return count, err
			}
			count++
		}
		if u.Len() >= replayBatch || index == end {
			u.Commit(l.Index, l.Term, o.state.Chain())
			u = o.state.Update()
		}
	}
	return count, nil
}

// fold folds one entry, as the shard's machine does.
func fold(u *store.Update, shard uint16, l *raft.Log, m *control.Map) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("entry %d cannot be folded: %v", l.Index, r)
		}
	}()
	if m.Skipped(shard, l.Index) {
		skip.Entry(u, u, shard, l.Index, l.Term, l.Data)
		return nil
	}
	e, err := event.Decode(l.Data)
	if err != nil {
		return fmt.Errorf("entry %d cannot be decoded, a newer program may have written it: %w", l.Index, err)
	}
	state.Fold(u, u, l.Index, l.Term, e)
	return nil
}
