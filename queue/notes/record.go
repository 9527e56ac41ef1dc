package notes

import (
	"context"
	"errors"
	"fmt"
	"time"

	"quorumta/queue/clock"
	"quorumta/queue/event"
	"quorumta/queue/state/verdict"
)

// Why a note is not on record.
var (
	// ErrHere: its home does not answer. The note counts at this node alone
	// until it does.
	ErrHere = errors.New("known to this node alone until the shard that keeps it answers")
	// ErrNoRoom: its home has too many notes, or this node waits to record too
	// many. The note does not count.
	ErrNoRoom = errors.New("no room for another note")
	// ErrTooLong: key or value is too long. The note does not count.
	ErrTooLong = errors.New("the note is too long")
)

const (
	// recordTime bounds how long a caller waits for a note to be recorded.
	recordTime = 10 * time.Second
	// mostOwn bounds the notes that wait to be recorded.
	mostOwn = 1000
)

// Put writes a note, in place of any under its key; At is filled in. It is nil
// once the note is on record, and otherwise one of the errors above or the
// queue's for what not all members know: then the note counts as with ErrHere.
func (b *Board) Put(ctx context.Context, n Note) error {
	if n.Key == "" || len(n.Key) > event.MaxNoteKey || len(n.Value) > event.MaxNoteValue || len(n.By)+len(n.Why) > event.MaxNoteValue {
		return ErrTooLong
	}
	n.Until = n.Until.UTC().Truncate(time.Millisecond)
	return b.write(ctx, &own{Note: n})
}

// Remove ends the note under a key, on record. What is not there has ended.
func (b *Board) Remove(ctx context.Context, key, by, why string) error {
	if key == "" || len(key) > event.MaxNoteKey || len(by)+len(why) > event.MaxNoteValue {
		return ErrTooLong
	}
	return b.write(ctx, &own{Note: Note{Key: key, By: by, Why: why}, ends: true})
}

// write lets a note count here, and records it.
func (b *Board) write(ctx context.Context, o *own) error {
	o.At, o.busy = b.o.Now(), true
	b.mu.Lock()
	if _, known := b.own[o.Key]; !known && len(b.own) >= mostOwn {
		b.mu.Unlock()
		return ErrNoRoom
	}
	b.own[o.Key] = o
	b.changeLocked()
	b.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, recordTime)
	defer cancel()
	return b.record(ctx, o)
}

// record records a note of this node, and takes it out of its memory where that
// is settled.
func (b *Board) record(ctx context.Context, o *own) error {
	err := b.propose(ctx, o)
	b.mu.Lock()
	defer b.mu.Unlock()
	o.busy = false
	switch {
	case b.own[o.Key] != o: // seen folded, or another was written since
	case err == nil:
		o.recorded = b.o.Now()
	case errors.Is(err, ErrNoRoom):
		delete(b.own, o.Key)
		b.changeLocked()
	}
	return err
}

func (o *own) event() event.Event {
	if o.ends {
		return &event.Unnoted{Key: o.Key, By: o.By, Why: o.Why}
	}
	return &event.Noted{Key: o.Key, Value: o.Value, Until: o.Until, By: o.By, Why: o.Why}
}

// propose tries until the note's home has said something definite.
func (b *Board) propose(ctx context.Context, o *own) error {
	g := event.Group{Events: []event.Event{o.event()}}
	if err := b.o.Known(g); err != nil {
		return err
	}
	unknown := false
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		shard, ok := home(b.o.Shards(), o.Key)
		if g.ID.Shard() != shard {
			g.ID, unknown = b.o.Draw(shard), false
		}
		if ok {
			v := b.o.Propose(ctx, shard, g)
			switch {
			case !v.Definite():
				unknown = unknown || !v.NotProposed()
			case v.Result.OK(), v.Result == verdict.Stale, v.Result == verdict.Conflict && unknown:
				return nil
			case v.Result == verdict.Full:
				return ErrNoRoom
			case v.Result == verdict.Conflict:
				g.ID = b.o.Draw(shard)
			default:
				return fmt.Errorf("%w: %s", ErrTooLong, v.Result)
			}
		}
		if !clock.Pause(ctx, wait) {
			return fmt.Errorf("%w: shard %d", ErrHere, shard)
		}
	}
}
