package raftlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// ballots counts what is written to the stable store, so that a vote which was
// lost with the end of the log is missed.
type ballots struct {
	sync.Mutex // guards the rest, and serialises the writing
	n          uint64
	note       func(uint64) // nil: nobody wants to know
}

// loadBallots reads the count.
func (l *Log) loadBallots() error {
	v, closer, err := l.o.DB.Get(nameKey(l.shard, kindBallot, nil))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil
	}
	if err != nil {
		return l.o.Fail(fmt.Errorf("shard %d: read term or vote: %w", l.shard, err))
	}
	if len(v) == 8 {
		l.ballots.n = binary.BigEndian.Uint64(v)
	}
	if err := closer.Close(); err != nil {
		return l.o.Fail(fmt.Errorf("shard %d: read term or vote: %w", l.shard, err))
	}
	return nil
}

// Ballots is how often the stable store has been written, ever.
func (l *Log) Ballots() uint64 {
	l.ballots.Lock()
	defer l.ballots.Unlock()
	return l.ballots.n
}

// CountBallots has note told each count from now on, after its sync.
func (l *Log) CountBallots(note func(uint64)) {
	l.ballots.Lock()
	defer l.ballots.Unlock()
	l.ballots.note = note
}

// Guarded reports whether Guard was called, ever.
func (l *Log) Guarded() (bool, error) {
	_, closer, err := l.o.DB.Get(nameKey(l.shard, kindGuard, nil))
	if errors.Is(err, pebble.ErrNotFound) {
		return false, nil
	}
	if err == nil {
		err = closer.Close()
	}
	if err != nil {
		return false, l.o.Fail(fmt.Errorf("shard %d: read log: %w", l.shard, err))
	}
	return true, nil
}

// Guard notes durably that the shard has a mark: without it a lost mark would look
// like a new one.
func (l *Log) Guard() error {
	batch := l.o.DB.NewBatch()
	if err := batch.Set(nameKey(l.shard, kindGuard, nil), nil, nil); err != nil {
		return errors.Join(err, batch.Close())
	}
	return l.commit("write mark's guard", batch, pebble.Sync)
}

// Set implements raft.StableStore.
func (l *Log) Set(key, value []byte) error {
	defer l.writes.Start()()
	l.ballots.Lock()
	defer l.ballots.Unlock()
	n := l.ballots.n + 1
	batch := l.o.DB.NewBatch()
	err := errors.Join(
		batch.Set(nameKey(l.shard, kindStable, key), value, nil),
		batch.Set(nameKey(l.shard, kindBallot, nil), binary.BigEndian.AppendUint64(nil, n), nil))
	if err != nil {
		return errors.Join(err, batch.Close())
	}
	if err := l.commit("write term or vote", batch, pebble.Sync); err != nil {
		return err
	}
	l.ballots.n = n
	if l.ballots.note != nil {
		l.ballots.note(n)
	}
	return nil
}

// Get implements raft.StableStore. The error of an absent key reads "not
// found".
func (l *Log) Get(key []byte) ([]byte, error) {
	v, closer, err := l.o.DB.Get(nameKey(l.shard, kindStable, key))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, errNotFound
	}
	if err != nil {
		return nil, l.o.Fail(fmt.Errorf("shard %d: read term or vote: %w", l.shard, err))
	}
	v = append([]byte{}, v...)
	if err := closer.Close(); err != nil { // what was read is nothing then
		return nil, l.o.Fail(fmt.Errorf("shard %d: read term or vote: %w", l.shard, err))
	}
	return v, nil
}

// SetUint64 implements raft.StableStore.
func (l *Log) SetUint64(key []byte, value uint64) error {
	return l.Set(key, binary.BigEndian.AppendUint64(nil, value))
}

// GetUint64 implements raft.StableStore.
func (l *Log) GetUint64(key []byte) (uint64, error) {
	v, err := l.Get(key)
	if err != nil {
		return 0, err
	}
	if len(v) != 8 {
		return 0, l.o.Fail(fmt.Errorf("shard %d: %q has %d bytes instead of 8", l.shard, key, len(v)))
	}
	return binary.BigEndian.Uint64(v), nil
}
