// Package flush finds mail that waits for hosts which work again.
package flush

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"quorumta/delivery/retry"
	"quorumta/internal/mail"
	"quorumta/queue/state"
)

const (
	// most is how many waiting messages of a shard one flush looks at, in the
	// order in which they would be tried; the others keep their times.
	most = 50_000
	// together is how many are read at once, underWay how many are on their way
	// into the log.
	together, underWay = 500, 16
	// pause is how long after a flush of a host there is none again: one that
	// comes and goes must not have its mail moved to and fro.
	pause = 30 * time.Second
	// remembered bounds the hosts whose last flush is known.
	remembered = 10_000
)

// Shard is the part of a shard's leadership that is needed, as the queue's office
// has it; it is called from one goroutine at a time.
type Shard interface {
	// Now is the shard's time, Context ends with the leadership.
	Now() time.Time
	Context() context.Context
	// Due lists rows of the due index, Message reads an open message.
	Due(after state.DueRow, until time.Time, limit int) []state.DueRow
	Message(id mail.MessageID) (*state.Message, bool)
}

// Late are the flushes of late; safe for concurrent use. The zero value is ready.
type Late struct {
	mu   sync.Mutex
	last map[string]time.Time
}

// Begin notes a flush of a host; false where there was one of late.
func (l *Late) Begin(host string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.last[host]) < pause {
		return false
	}
	if l.last == nil || len(l.last) >= remembered {
		l.last = map[string]time.Time{}
	}
	l.last[host] = now
	return true
}

// Run has the recipients of a shard made due by hasten that wait because of
// the hosts, and returns of how many messages. It ends early with ctx and with
// the office.
func Run(ctx context.Context, q Shard, hosts []string, hasten func(context.Context, mail.MessageID, []uint32) error) (int, error) {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(underWay)
	row := state.DueRow{Due: q.Now()}
	far := row.Due.Add(30 * 24 * time.Hour)
	seen, flushed := 0, 0
	for seen < most && ctx.Err() == nil && q.Context().Err() == nil {
		rows := q.Due(row, far, together)
		for _, row = range rows {
			seen++
			id := row.ID
			if waiting := waits(q, id, hosts); len(waiting) > 0 {
				flushed++
				group.Go(func() error { return hasten(ctx, id, waiting) })
			}
		}
		if len(rows) < together {
			break
		}
	}
	if err := group.Wait(); err != nil {
		return flushed, fmt.Errorf("make what waits for %s due: %w", hosts[0], err)
	}
	return flushed, nil
}

// waits lists the recipients of a message who wait because of the hosts.
func waits(q Shard, id mail.MessageID, hosts []string) []uint32 {
	m, ok := q.Message(id)
	if !ok || m.Held || m.Suspended {
		return nil
	}
	var list []uint32
	for i := range m.Recipients {
		r := &m.Recipients[i]
		if r.Phase == state.Pending && retry.ClassOf(r.Error) == retry.Host && slices.Contains(hosts, r.Host) && r.Due.After(q.Now()) {
			list = append(list, uint32(i))
		}
	}
	return list
}
