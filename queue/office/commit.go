package office

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"quorumta/internal/mail"
	"quorumta/queue/event"
	"quorumta/queue/lane"
	"quorumta/queue/state"
)

// ErrTooNew: an event is of a level of the format that the cluster may not use
// yet. Nothing was proposed.
var ErrTooNew = fmt.Errorf("%w: not all members know this yet; when all run this version, finish the upgrade", lane.ErrNotProposed)

// Known fails with ErrTooNew for a group with events above the level.
func Known(level int, g event.Group) error {
	for _, ev := range g.Events {
		if event.LevelOf(ev) > level {
			return ErrTooNew
		}
	}
	return nil
}

// Propose hands groups to the office's lane and waits for all verdicts.
func (o *Office) Propose(ctx context.Context, groups []event.Group) []lane.Verdict {
	all := make([]lane.Verdict, len(groups))
	waiting := make([]<-chan lane.Verdict, len(groups))
	for i, g := range groups {
		waiting[i] = o.add(g)
	}
	for i, settled := range waiting {
		all[i] = await(ctx, settled)
	}
	return all
}

// ProposeOne is Propose for one group.
func (o *Office) ProposeOne(ctx context.Context, g event.Group) lane.Verdict {
	return await(ctx, o.add(g))
}

// add hands a group to the lane; the verdict will be sent.
func (o *Office) add(g event.Group) <-chan lane.Verdict {
	settled := make(chan lane.Verdict, 1)
	level := o.opt.Level()
	if err := Known(level, g); err != nil {
		settled <- lane.Verdict{Err: err}
		return settled
	}
	o.lane.Add(event.AtLevel(level, g), func(v lane.Verdict) { settled <- v })
	return settled
}

func await(ctx context.Context, settled <-chan lane.Verdict) lane.Verdict {
	select {
	case v := <-settled:
		return v
	case <-ctx.Done():
		return lane.Verdict{Err: fmt.Errorf("wait for the shard: %w", ctx.Err())}
	}
}

// commit proposes one entry in the term of the office, and settles its groups.
func (o *Office) commit(batch []lane.Waiting) {
	entry := event.Entry{Term: o.term, Groups: make([]event.Group, len(batch))}
	at := o.stamp()
	for i, w := range batch {
		entry.Groups[i] = w.Group
		entry.Groups[i].At = at
	}
	buffer := o.opt.Buffers.Get().(*[]byte)
	*buffer = event.Append((*buffer)[:0], entry)
	ctx, cancel := context.WithTimeout(o.ctx, o.opt.SubmitWait)
	results, err := o.opt.Propose(ctx, o.shard, o.term, *buffer)
	cancel()
	o.opt.Buffers.Put(buffer)
	if err == nil && len(results) != len(batch) {
		err = fmt.Errorf("%d verdicts on %d groups", len(results), len(batch))
	}
	due := err != nil
	for i, w := range batch {
		v := lane.Verdict{Err: err}
		if err == nil {
			v.Result = results[i]
			o.note(entry.Groups[i], v.Result)
			due = o.announce(w.Group, at) || due
		}
		w.Settled(v)
	}
	if due {
		o.wake()
	}
}

// announce tells those who deliver of new messages by name. It reports whether
// other rows of the due index may come of the group, stamped at.
func (o *Office) announce(g event.Group, at time.Time) (others bool) {
	for _, ev := range g.Events {
		switch ev := ev.(type) {
		case *event.BodyPart, *event.Renewed, *event.Claimed, *event.Delivered,
			*event.Held, *event.Removed, *event.Pruned, *event.Swept, *event.Abandoned, *event.Suspended,
			*event.Noted, *event.Unnoted:
		case *event.Accepted:
			// What was decoded shares its memory with more than the id.
			id := mail.MessageID(strings.Clone(string(cmp.Or(ev.ID, g.ID))))
			due := at
			if !ev.Due.IsZero() {
				due = ev.Due
			}
			if due.After(at) || !o.arrivals.add(state.DueRow{Due: due, ID: id}) {
				others = true
			}
		default:
			others = true
		}
	}
	return others
}

// note logs and counts, at the leader, what an applied group says that an
// operator will look for.
func (o *Office) note(g event.Group, r state.Result) {
	if r != state.Applied {
		return
	}
	// Most groups say nothing of the kind.
	log := func() *slog.Logger { return o.opt.Log.With("id", g.ID, "shard", o.shard) }
	for _, ev := range g.Events {
		switch ev := ev.(type) {
		case *event.Doubted:
			o.opt.Counters.Doubted.Add(o.ctx, int64(len(ev.Recipients)))
			log().Warn("in doubt", "recipients", ev.Recipients, "attempt", ev.Number, "claimed_by", ev.By.Node, "term", ev.Term, "held", ev.Hold)
		case *event.Held:
			log().Info("held", "by", ev.By, "why", ev.Why)
		case *event.Released:
			log().Info("released", "by", ev.By)
		case *event.Resumed:
			log().Info("resumed", "by", ev.By)
		case *event.Noted:
			if ev.By != "" {
				log().Info("noted", "key", ev.Key, "value", ev.Value, "until", ev.Until, "by", ev.By, "why", ev.Why)
			}
		case *event.Unnoted:
			if ev.By != "" {
				log().Info("unnoted", "key", ev.Key, "by", ev.By, "why", ev.Why)
			}
		case *event.Retried:
			log().Info("retried", "by", ev.By)
		case *event.Removed:
			log().Info("removed", "by", ev.By, "why", ev.Why)
		case *event.Edited:
			log().Info("edited", "dropped", len(ev.Drop), "added", len(ev.Add), "by", ev.By, "why", ev.Why)
		case *event.Swept:
			log().Info("swept", "uploads", ev.IDs)
		case *event.Pruned:
			log().Info("pruned", "day", time.Unix(int64(ev.Day)*86400, 0).UTC().Format(time.DateOnly))
		}
	}
}
