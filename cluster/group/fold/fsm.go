package fold

import (
	"crypto/sha256"
	"encoding/binary"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/hashicorp/raft"

	"quorumta/cluster/group/marks"
	"quorumta/cluster/store"
)

// Options says what is folded into what; every field is needed unless it is
// said.
type Options struct {
	Shard     uint16
	Machine   Machine
	State     *store.State
	Snapshots *store.Snapshots
	// Flush makes the state durable.
	Flush func() error
	// Skip reports that the cluster has decided to skip the entry. Nil: none.
	Skip func(index uint64) bool
	// Poison keeps an entry whose fold has panicked, and says where. Nil: it is
	// not kept.
	Poison func(shard uint16, index uint64, data []byte) (place string, err error)
	// Applied is told how long a batch of entries took, Skipped of every entry
	// that is skipped.
	Applied func(took time.Duration, entries int)
	Skipped func()
	Log     *slog.Logger
}

// FSM folds the committed entries of one shard. Raft calls its methods from one
// goroutine; Age, Newest, Failed, Broken and Mend may be called from any.
type FSM struct {
	o   Options
	log *slog.Logger
	// Marks are the places in the log where replicas compare themselves.
	Marks *marks.Marks

	// broken says that the fold has panicked or a restore has failed: nothing
	// is applied any more, and the group stops.
	broken chan error
	failed atomic.Bool

	epoch time.Time    // what since counts from
	since atomic.Int64 // when the fold under way began; 0 while none is

	// newest is the newest committed configuration that came in an entry.
	newest atomic.Pointer[Configuration]

	mu sync.Mutex // held by whoever moves the applied index
}

var (
	_ raft.FSM         = (*FSM)(nil)
	_ raft.BatchingFSM = (*FSM)(nil)
)

// Configuration is who replicates the shard, by the entry at Index.
type Configuration struct {
	Index   uint64
	Servers []raft.Server
}

// Labelled is a snapshot sink that tells what the snapshot is to stand for.
type Labelled interface {
	Label() (index, term uint64)
}

// New makes the FSM of a shard.
func New(o Options) *FSM {
	return &FSM{
		o:      o,
		log:    o.Log.With("shard", o.Shard),
		Marks:  marks.New(),
		broken: make(chan error, 1),
		epoch:  time.Now(),
	}
}

// Folded is what the proposer of an entry gets.
type Folded struct {
	Results []Result
	Index   uint64
}

// Apply implements raft.FSM.
func (f *FSM) Apply(l *raft.Log) any { return f.ApplyBatch([]*raft.Log{l})[0] }

// ApplyBatch implements raft.BatchingFSM. The answer for an entry is a Folded,
// or nil where it was not folded.
func (f *FSM) ApplyBatch(logs []*raft.Log) []any {
	answers := make([]any, len(logs))
	f.noteConfigurations(logs)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failed.Load() {
		return answers
	}
	start := time.Now()
	f.since.Store(max(int64(start.Sub(f.epoch)), 1))
	defer f.since.Store(0)
	if err := f.fold(logs, answers); err != nil {
		f.fail(err)
		clear(answers)
	}
	f.o.Applied(time.Since(start), len(logs))
	return answers
}

// Age is how long the fold under way has taken.
func (f *FSM) Age() time.Duration {
	since := f.since.Load()
	if since == 0 {
		return 0
	}
	return time.Since(f.epoch) - time.Duration(since)
}

// fail stops the shard, not the node (PROTOCOL 22).
func (f *FSM) fail(err error) {
	if f.failed.CompareAndSwap(false, true) {
		f.broken <- err
	}
}

// fold applies a batch as one update. The entries that end it are marks, for
// which the state is looked at exactly where they stand.
func (f *FSM) fold(logs []*raft.Log, answers []any) (err error) {
	u := f.o.State.Update()
	at := logs[0]
	defer func() {
		if p := recover(); p != nil {
			u.Discard()
			err = f.poisoned(at, p)
		}
	}()
	applied, term := f.o.State.Applied()
	chain := f.o.State.Chain()
	pending := false
	for i, l := range logs {
		if l.Index <= applied {
			continue // replayed: its effects are in the state
		}
		at, applied, term, pending = l, l.Index, l.Term, true
		switch mark, marked := marks.In(l); {
		case marked:
			u.Commit(applied, term, chain)
			f.Marks.Note(mark, applied, chain, func() marks.View { return f.o.State.View() })
			u, pending = f.o.State.Update(), false
		case l.Type == raft.LogCommand:
			results := f.apply(u, Entry{Index: l.Index, Term: l.Term, Data: l.Data})
			chain = link(chain, l, results)
			answers[i] = Folded{results, l.Index}
		}
	}
	if !pending {
		u.Discard()
		return nil
	}
	u.Commit(applied, term, chain)
	return nil
}

// link is the running digest after an entry (PROTOCOL 23): SHA-256 of
//
//	+----------------+-------+------+------+-------------------+---------+
//	| the one before | index | term | type | XXH64 of the data | results |
//	| 32             | 8 BE  | 8 BE | 1    | 8 BE              | ...     |
//	+----------------+-------+------+------+-------------------+---------+
//
// It finds what goes wrong by itself, not what a member makes up: who could
// make two entries with one sum is trusted with all the mail anyway. A
// cryptographic sum of the data was most of what the digest cost.
func link(chain [32]byte, l *raft.Log, results []Result) [32]byte {
	var room [128]byte // longer only with many groups
	next := append(room[:0], chain[:]...)
	next = binary.BigEndian.AppendUint64(next, l.Index)
	next = binary.BigEndian.AppendUint64(next, l.Term)
	next = append(next, byte(l.Type))
	next = binary.BigEndian.AppendUint64(next, xxhash.Sum64(l.Data))
	for _, r := range results {
		next = append(next, byte(r))
	}
	return sha256.Sum256(next)
}

// Newest is the newest committed configuration that came in an entry since the
// start; nil if none did.
func (f *FSM) Newest() *Configuration { return f.newest.Load() }

// noteConfigurations remembers the newest committed configuration.
func (f *FSM) noteConfigurations(logs []*raft.Log) {
	for _, l := range logs {
		if known := f.newest.Load(); l.Type == raft.LogConfiguration && (known == nil || l.Index > known.Index) {
			f.newest.Store(&Configuration{l.Index, raft.DecodeConfiguration(l.Data).Servers})
		}
	}
}
