package query

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"quorumta/internal/mail"
	"quorumta/queue/clock"
	"quorumta/queue/event"
	"quorumta/queue/feed"
	"quorumta/queue/state"
)

const (
	callShow = "queue.show"
	// catchUpTime is how long a replica that is behind its leader is waited
	// for.
	catchUpTime = 2 * time.Second
)

// showing asks for a message.
type showing struct {
	ID mail.MessageID `json:"id"`
}

func (s showing) of() uint16 { return s.ID.Shard() }

// shown is the answer; History has each record in the encoding of events.
type shown struct {
	Message *state.Message `json:"message"`
	History [][]byte       `json:"history"`
}

// serveShow answers from this node's replica.
func (a *Asker) serveShow(_ context.Context, ask showing) (shown, error) {
	var s shown
	err := a.o.View(ask.ID.Shard(), func(r state.Reader) {
		s.Message, _ = state.Load(r, ask.ID)
		records, _ := state.History(r, ask.ID)
		for _, rec := range records {
			s.History = append(s.History, encodeRecord(rec))
		}
	})
	return s, err
}

// Show reads a message and its history: the message is nil once it has ended,
// and there is neither if the id is not known.
func (a *Asker) Show(ctx context.Context, id mail.MessageID) (*state.Message, []state.Record, error) {
	s, _, err := atLeader(ctx, a, id.Shard(), callShow, a.serveShow, showing{id})
	if err != nil {
		return nil, nil, fmt.Errorf("show %s: %w", id, err)
	}
	records := make([]state.Record, len(s.History))
	for i, b := range s.History {
		if records[i], err = decodeRecord(b); err != nil {
			return nil, nil, fmt.Errorf("show %s: %w", id, err)
		}
	}
	return s.Message, records, nil
}

// encodeRecord is a record as an entry of one group.
func encodeRecord(r state.Record) []byte {
	g := event.Group{ID: r.ID, At: r.At, Events: []event.Event{r.Event}}
	return event.Append(nil, event.Entry{Term: r.Term, Groups: []event.Group{g}})
}

func decodeRecord(b []byte) (state.Record, error) {
	e, err := event.Decode(b)
	if err != nil {
		return state.Record{}, err
	}
	if len(e.Groups) != 1 || len(e.Groups[0].Events) != 1 {
		return state.Record{}, errors.New("a record has one event")
	}
	g := e.Groups[0]
	return state.Record{ID: g.ID, At: g.At, Term: e.Term, Event: g.Events[0]}, nil
}

// Events calls f for the history of all messages, or of one: by shard, first
// those that have ended, by day, then the open ones, each sort by id. With
// follow, it goes on with what is folded from then on, in log order per shard,
// until ctx ends (nil) or f returns false. It reads this node's replica, once
// that has caught up with the leader; a reader that is too slow to follow gets
// feed.ErrBehind.
func (a *Asker) Events(ctx context.Context, id mail.MessageID, follow bool, f func(state.Record) bool) error {
	shards := a.o.Shards()
	if id != "" {
		shards = []uint16{id.Shard()}
	}
	var streams []*stream
	for _, shard := range shards {
		s := &stream{id: id, told: map[string]bool{}}
		if follow {
			// Before the history is read, or what is folded meanwhile is missed.
			s.follower = a.o.Follow(shard)
			defer s.follower.Close()
		}
		streams = append(streams, s)
	}
	for i, shard := range shards {
		a.catchUp(ctx, shard)
		more := true
		if err := a.o.View(shard, func(r state.Reader) { more = streams[i].history(ctx, r, f) }); err != nil {
			return fmt.Errorf("read the history of shard %d: %w", shard, err)
		}
		if !more {
			return nil
		}
	}
	if !follow {
		return ctx.Err()
	}
	return followAll(ctx, streams, f)
}

// catchUp waits until this node's replica has what its leader had when asked.
func (a *Asker) catchUp(ctx context.Context, shard uint16) {
	ctx, cancel := context.WithTimeout(ctx, catchUpTime)
	defer cancel()
	c, stale, err := atLeader(ctx, a, shard, callCount, a.serveCount, counting{shard})
	if err != nil || stale || a.o.Led(shard) {
		return
	}
	for {
		last := c.Last
		if a.o.View(shard, func(r state.Reader) { last = state.LastTime(r) }) != nil {
			return
		}
		if !last.Before(c.Last) || !clock.Pause(ctx, 10*time.Millisecond) {
			return
		}
	}
}

// stream is the history of a shard, and what comes after it.
type stream struct {
	id       mail.MessageID // "" for all
	follower *feed.Follower
	// last is the newest time of the history, told its records of that time.
	// Times never go back in a log, so what is older is in the history, and
	// what is newer is not.
	last time.Time
	told map[string]bool
}

// history calls f for the records in the state; it reports whether to go on.
func (s *stream) history(ctx context.Context, r state.Reader, f func(state.Record) bool) bool {
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

// followAll calls f for what comes, of all streams.
func followAll(ctx context.Context, streams []*stream, f func(state.Record) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	records := make(chan state.Record)
	failed := make(chan error, len(streams))
	for _, s := range streams {
		wg.Go(func() {
			for {
				batch, err := s.follower.Next(ctx)
				if err != nil {
					failed <- err
					return
				}
				for _, rec := range batch {
					if !s.fresh(rec) {
						continue
					}
					select {
					case records <- rec:
					case <-ctx.Done():
					}
				}
			}
		})
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
