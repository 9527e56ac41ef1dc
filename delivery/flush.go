package delivery

import (
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"quorumta/delivery/memory"
	"quorumta/delivery/retry"
	"quorumta/internal/mail"
	"quorumta/queue"
	"quorumta/queue/event"
	"quorumta/queue/state"
)

const (
	// mostSwept is how many waiting messages of a shard one flush looks at, in
	// the order in which they would be tried; the others keep their times.
	mostSwept = 50_000
	// sweptAtOnce is how many are read together, flushedAtOnce how many are on
	// their way into the log.
	sweptAtOnce, flushedAtOnce = 500, 16
	// flushPause is how long after a flush of hosts there is none again: one that
	// comes and goes must not have its mail moved to and fro.
	flushPause = 30 * time.Second
)

// recollection is what the cluster knows of hosts that fail, and which of them
// were found to work of late.
type recollection struct {
	*memory.Book
	mu sync.Mutex
	// last is when the mail of a host was flushed.
	last map[string]time.Time
}

// flush notes a flush of a host; false where there was one of late.
func (f *recollection) flush(host string, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now.Sub(f.last[host]) < flushPause {
		return false
	}
	if f.last == nil || len(f.last) >= 10_000 {
		f.last = map[string]time.Time{}
	}
	f.last[host] = now
	return true
}

// back has mail that waits for hosts tried at once: one of them works again, and
// the others are of its site.
func (d *Deliverer) back(keys []memory.Key) {
	var hosts []string
	for _, key := range keys {
		if name, ok := key.HostName(); ok && !slices.Contains(hosts, name) {
			hosts = append(hosts, name)
		}
	}
	if len(hosts) == 0 || !d.memory.flush(hosts[0], d.o.Now()) {
		return
	}
	for _, q := range d.offices.all() {
		d.recorders.Go(func() { d.flush(q, hosts) })
	}
}

// flush makes mail of a shard due that waits for hosts.
func (d *Deliverer) flush(q *queue.Office, hosts []string) {
	group, ctx := errgroup.WithContext(d.work)
	group.SetLimit(flushedAtOnce)
	row := state.DueRow{Due: q.Now()}
	far := row.Due.Add(30 * 24 * time.Hour)
	seen, flushed := 0, 0
	for seen < mostSwept && ctx.Err() == nil && q.Context().Err() == nil {
		rows := q.Due(row, far, sweptAtOnce)
		for _, row = range rows {
			seen++
			id := row.ID
			if waiting := waitsFor(q, id, hosts); len(waiting) > 0 {
				flushed++
				group.Go(func() error { return d.hasten(ctx, q, id, waiting) })
			}
		}
		if len(rows) < sweptAtOnce {
			break
		}
	}
	if err := group.Wait(); err != nil {
		d.o.Log.Warn("mail that waits for a host was not made due: it is tried at its own time", "host", hosts[0], "error", err)
	}
	if flushed > 0 {
		d.o.Log.Info("a host works again: what waits for it is tried", "host", hosts[0], "shard", q.Shard(), "messages", flushed)
	}
}

// waitsFor lists the recipients of a message who wait because of the hosts.
func waitsFor(q *queue.Office, id mail.MessageID, hosts []string) []uint32 {
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

// hasten makes recipients due. It uses up no retry step.
func (d *Deliverer) hasten(ctx context.Context, q *queue.Office, id mail.MessageID, recipients []uint32) error {
	return d.o.Queue.Resolve(ctx, queue.Outcome{ID: id, Events: []event.Event{&event.Deferred{
		Recipients: recipients, Attempt: event.Attempt{Node: d.o.Process.Node}, Due: q.Now(),
	}}})
}
