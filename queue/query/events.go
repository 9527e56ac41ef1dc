package query

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"quorumta/internal/mail"
	"quorumta/queue/clock"
	"quorumta/queue/feed"
	"quorumta/queue/state"
)

// catchUpTime is how long a replica that is behind its leader is waited for.
const catchUpTime = 8 * time.Second

// ErrIncomplete: the history that was told may lack its newest records, since
// the replica that told it is behind the leader, or the shard has none in
// reach.
var ErrIncomplete = errors.New("the newest records may be missing: the replica here is behind, or the shard has no leader; ask again, or ask another node")

// source is where the records of a shard come from: this node's replica, or
// another one. It is used by one goroutine.
type source interface {
	// history calls f for the history; it reports whether to go on.
	history(ctx context.Context, f func(state.Record) bool) (bool, error)
	// next waits for what is folded after the history was read.
	next(ctx context.Context) ([]state.Record, error)
	close()
}

// Events calls f for the history of all messages, or of one: by shard, first
// those that have ended, by day, then the open ones, each sort by id. With
// follow, it goes on with what is folded from then on, in log order per shard,
// until ctx ends (nil) or f returns false. It reads this node's replica, once
// that has caught up with the leader, or another one where there is none here.
// Where that cannot be had it tells what it has and, unless it follows, fails
// with ErrIncomplete at the end. A reader that is too slow to follow gets
// feed.ErrBehind.
func (a *Asker) Events(ctx context.Context, id mail.MessageID, follow bool, f func(state.Record) bool) error {
	shards, err := a.shards()
	if id != "" {
		shards, err = []uint16{id.Shard()}, nil
	}
	if err != nil {
		return err
	}
	var sources []source
	for _, shard := range shards {
		s, err := a.open(ctx, reading{Shard: shard, ID: id, Follow: follow})
		if err != nil {
			return fmt.Errorf("read the history of shard %d: %w", shard, err)
		}
		defer s.close()
		sources = append(sources, s)
	}
	var incomplete error
	for i, s := range sources {
		more, err := s.history(ctx, f)
		if errors.Is(err, ErrIncomplete) {
			incomplete = errors.Join(incomplete, fmt.Errorf("history of shard %d: %w", shards[i], err))
		} else if err != nil {
			return fmt.Errorf("read the history of shard %d: %w", shards[i], err)
		}
		if !more {
			return nil
		}
	}
	if !follow {
		return errors.Join(ctx.Err(), incomplete)
	}
	return followAll(ctx, sources, f)
}

// open begins to read a shard. What is folded from now on is not missed.
func (a *Asker) open(ctx context.Context, r reading) (source, error) {
	if a.here(r.Shard) {
		return a.openHere(r), nil
	}
	return a.openElsewhere(ctx, r)
}

func (a *Asker) openHere(r reading) *stream {
	s := &stream{asker: a, shard: r.Shard, id: r.ID, told: map[string]bool{}}
	if r.Follow {
		s.follower = a.o.Follow(r.Shard)
	}
	return s
}

// catchUp waits until this node's replica has what its leader had when asked;
// it reports whether that came to be.
func (a *Asker) catchUp(ctx context.Context, shard uint16) bool {
	ctx, cancel := context.WithTimeout(ctx, catchUpTime)
	defer cancel()
	c, stale, err := atLeader(ctx, a, shard, callCount, a.serveCount, counting{shard})
	if err != nil || stale {
		return false
	}
	for {
		var last time.Time
		if a.o.View(shard, func(r state.Reader) { last = state.LastTime(r) }) != nil {
			return false
		}
		if !last.Before(c.Last) {
			return true
		}
		if !clock.Pause(ctx, 10*time.Millisecond) {
			return false
		}
	}
}

// stream is the history of a shard as this node's replica has it, and what
// comes after it.
type stream struct {
	asker    *Asker
	shard    uint16
	id       mail.MessageID               // "" for all
	follower *feed.Follower[state.Record] // nil: none
	// last is the newest time of the history, told its records of that time.
	// Times never go back in a log, so what is older is in the history, and
	// what is newer is not.
	last time.Time
	told map[string]bool
}

func (s *stream) history(ctx context.Context, f func(state.Record) bool) (bool, error) {
	level := s.asker.catchUp(ctx, s.shard)
	more := true
	err := s.asker.o.View(s.shard, func(r state.Reader) { more = s.read(ctx, r, f) })
	if err == nil && !level && s.follower == nil {
		err = ErrIncomplete // who follows is told the rest when it comes
	}
	return more, err
}

// read calls f for the records in the state; it reports whether to go on.
func (s *stream) read(ctx context.Context, r state.Reader, f func(state.Record) bool) bool {
	s.last = state.LastTime(r)
	tell := func(id mail.MessageID) bool {
		records, _ := state.History(r, id)
		for _, rec := range records {
			if rec.At.Equal(s.last) {
				s.told[string(encodeRecord(rec))] = true
			}
			if ctx.Err() != nil || !f(rec) {
				return false
			}
		}
		return true
	}
	if s.id != "" {
		return tell(s.id)
	}
	more := true
	each := func(id mail.MessageID) bool {
		more = tell(id)
		return more
	}
	state.Closed(r, each)
	if more {
		state.Open(r, "", each)
	}
	return more
}

// fresh reports whether the record is to be told: it is about the message that
// is followed, and was not in the history.
func (s *stream) fresh(rec state.Record) bool {
	if s.id != "" && rec.ID != s.id || rec.At.Before(s.last) {
		return false
	}
	return !rec.At.Equal(s.last) || !s.told[string(encodeRecord(rec))]
}

func (s *stream) next(ctx context.Context) ([]state.Record, error) {
	if s.follower == nil {
		return nil, feed.ErrClosed
	}
	batch, err := s.follower.Next(ctx)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(batch, func(rec state.Record) bool { return !s.fresh(rec) }), nil
}

func (s *stream) close() {
	if s.follower != nil {
		s.follower.Close()
	}
}

// followAll calls f for what comes, of all sources.
func followAll(ctx context.Context, sources []source, f func(state.Record) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	records := make(chan state.Record)
	failed := make(chan error, len(sources))
	for _, s := range sources {
		wg.Go(func() { failed <- follow(ctx, s, records) })
	}
	for {
		select {
		case rec := <-records:
			if !f(rec) {
				return nil
			}
		case err := <-failed:
			if ctx.Err() != nil {
				return nil
			}
			return err
		case <-ctx.Done():
			return nil
		}
	}
}

// follow passes on what comes from a source until that fails.
func follow(ctx context.Context, s source, to chan<- state.Record) error {
	for {
		batch, err := s.next(ctx)
		if err != nil {
			return err
		}
		for _, rec := range batch {
			select {
			case to <- rec:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
}
