package sim_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"quorumta/cluster"
	"quorumta/internal/mail"
	"quorumta/queue/event"
	"quorumta/queue/query"
	"quorumta/queue/state"
)

// record is what the cluster itself says of what happened.
type record struct {
	// births are the queue's ids of a letter, by its own.
	births map[string][]mail.MessageID
	// reports are the reports about a message.
	reports map[mail.MessageID][]mail.MessageID
	// doubts count how often a recipient of a message was in doubt.
	doubts map[doubted]int
	// removed are those whose client was told 451 and which were found to be
	// accepted when that could be known.
	removed map[mail.MessageID]bool
}

func newRecord() *record {
	return &record{
		births: map[string][]mail.MessageID{}, reports: map[mail.MessageID][]mail.MessageID{},
		doubts: map[doubted]int{}, removed: map[mail.MessageID]bool{},
	}
}

type doubted struct {
	id mail.MessageID
	to string
}

// readWhole is read, asked again where a shard has no leader for a moment, or its
// replica leaves the node meanwhile: leads go home some time after a restart, and
// replicas to nodes that have joined.
func (c *Cluster) readWhole(name string) (rec *record, err error) {
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		rec, err = c.read(name)
		moving := errors.Is(err, query.ErrIncomplete) || errors.Is(err, cluster.ErrNoSuchShard)
		if !moving || time.Now().After(end) {
			return rec, err
		}
	}
}

// read reads the history of all messages as the node tells it.
func (c *Cluster) read(name string) (*record, error) {
	rec := newRecord()
	envelopes := map[mail.MessageID]mail.Envelope{}
	err := c.process(name).queue.Events(context.Background(), "", false, func(r state.Record) bool {
		switch e := r.Event.(type) {
		case *event.Accepted:
			if e.ID != r.ID {
				break // a report, in the history of its cause: it has its own
			}
			envelopes[e.ID] = e.Envelope
			if e.Cause != "" {
				rec.reports[e.Cause] = append(rec.reports[e.Cause], e.ID)
				break
			}
			id := strings.TrimSuffix(strings.TrimPrefix(e.HeaderID, "<"), "@sim>")
			rec.births[id] = append(rec.births[id], e.ID)
		case *event.Removed:
			rec.removed[r.ID] = true
		case *event.Doubted:
			for _, n := range e.Recipients {
				rec.doubts[doubted{r.ID, envelopes[r.ID].Recipients[n].Address.String()}]++
			}
		}
		return true
	})
	return rec, err
}

// drained waits until the queue is empty and says so, or what is left.
func (c *Cluster) drained(patience time.Duration) error {
	var last error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(500 * time.Millisecond) {
		if names := c.Bury(); len(names) > 0 {
			return fmt.Errorf("%v ended themselves though nothing was wrong any more", names)
		}
		if last = c.empty(); last == nil {
			return nil
		}
	}
	return last
}

// empty says what is left in the queue.
func (c *Cluster) empty() error {
	p := c.process(c.names[0])
	totals, err := p.queue.Count(context.Background())
	if err != nil {
		return err
	}
	uploads := uint64(0)
	for _, s := range p.node.Status() {
		p := c.process(s.Leader)
		if p == nil {
			return fmt.Errorf("shard %d has no leader: %+v", s.ID, s)
		}
		view, done, err := p.node.View(s.ID)
		if err != nil {
			return err
		}
		uploads += state.Count(view).Uploads
		done()
	}
	if totals.Total > 0 || uploads > 0 {
		return fmt.Errorf("%+v and %d uploads are left", totals, uploads)
	}
	return nil
}

// equal compares the replicas of all shards, bit by bit. A replica that is
// sent a snapshot meanwhile jumps over the place where all are compared, so
// they are compared again.
func (c *Cluster) equal() (faults []string) {
	for range 3 {
		if faults = c.compare(); len(faults) == 0 {
			break
		}
	}
	return faults
}

func (c *Cluster) compare() (faults []string) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	node := c.process(c.names[0]).node
	digests, err := node.Digest(ctx, true)
	if err != nil {
		return []string{err.Error()}
	}
	placed := node.Map()
	for _, d := range digests {
		if s, _ := placed.Shard(d.ID); d.Differs() || len(d.Replicas) != len(s.Replicas) {
			faults = append(faults, fmt.Sprintf("the replicas of shard %d on %v differ: %+v", d.ID, s.Replicas, d.Replicas))
		}
		for _, r := range d.Replicas {
			if r.Error != "" || r.SHA256 == "" {
				faults = append(faults, fmt.Sprintf("shard %d on %s has no digest: %s", d.ID, r.Node, r.Error))
			}
		}
	}
	return faults
}

// counted compares counters and indexes of all replicas with a scan.
func (c *Cluster) counted() (faults []string) {
	for _, name := range c.names {
		p := c.process(name)
		if p == nil {
			continue
		}
		for _, s := range p.node.Status() {
			if s.Stopped != "" {
				faults = append(faults, fmt.Sprintf("shard %d has stopped on %s: %s", s.ID, name, s.Stopped))
			}
			view, done, err := p.node.View(s.ID)
			if errors.Is(err, cluster.ErrNoSuchShard) {
				continue // it has no replica
			}
			if err != nil {
				faults = append(faults, err.Error())
				continue
			}
			for _, f := range scan(view) {
				faults = append(faults, fmt.Sprintf("shard %d on %s: %s", s.ID, name, f))
			}
			done()
		}
	}
	return faults
}

// scan compares counters and indexes of a state with its messages.
func scan(r state.Reader) (faults []string) {
	var c state.Counts
	due := map[state.DueRow]bool{}
	flights := map[string]bool{}
	state.Open(r, "", func(id mail.MessageID) bool {
		m, _ := state.Load(r, id)
		c.Messages++
		c.Content += uint64(m.Accepted.Size)
		if _, ok := state.Content(r, id, max(m.Accepted.Parts, 1)-1); !ok {
			faults = append(faults, fmt.Sprintf("%s has no content", id))
		}
		var earliest time.Time
		flying := uint64(0)
		for _, x := range m.Recipients {
			switch x.Phase {
			case state.Pending:
				if earliest.IsZero() || x.Due.Before(earliest) {
					earliest = x.Due
				}
			case state.InFlight:
				flying = 1
				flights[fmt.Sprint(id, " ", x.Attempt)] = true
			}
		}
		c.InFlight += flying
		if m.Held {
			c.Held++
		} else if !earliest.IsZero() {
			due[state.DueRow{Due: earliest, ID: id}] = true
		}
		return true
	})
	state.Uploads(r, func(state.Upload) bool { c.Uploads++; return true })
	if got := state.Count(r); got != c {
		faults = append(faults, fmt.Sprintf("the counters are %+v, a scan counts %+v", got, c))
	}
	rows := state.Due(r, state.DueRow{}, time.UnixMilli(1<<48-1), 1<<30)
	for _, row := range rows {
		if !due[row] {
			faults = append(faults, fmt.Sprintf("%v is in the due index", row))
		}
	}
	if len(rows) != len(due) {
		faults = append(faults, fmt.Sprintf("the due index has %d rows, not %d", len(rows), len(due)))
	}
	state.Claims(r, func(x state.Claim) bool {
		key := fmt.Sprint(x.ID, " ", x.Number)
		if !flights[key] {
			faults = append(faults, fmt.Sprintf("claim %+v", x))
		}
		delete(flights, key)
		return true
	})
	if len(flights) > 0 {
		faults = append(faults, fmt.Sprintf("%v are not in the index of claims", flights))
	}
	return faults
}

// judge compares what clients were told with what arrived and with what the
// cluster says of itself.
func judge(letters []*letter, k *sink, rec *record, log *diary) (faults []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	blame := func(l *letter, format string, args ...any) {
		faults = append(faults, fmt.Sprintf("letter %s (%s by smtp=%t on %s at %s, %q, queued as %v): ", l.id, l.fate, l.smtp, l.node, log.clock(l.at), l.told, rec.births[l.id])+
			fmt.Sprintf(format, args...))
	}
	for _, l := range letters {
		births := rec.births[l.id]
		var id mail.MessageID
		if len(births) > 0 {
			id = births[0]
		}
		arrived := k.reports[l.from()]
		for _, to := range l.to {
			arrived += k.copies[copyOf{l.id, to}]
		}
		switch {
		case l.fate == permanent:
			blame(l, "it was refused for good")
		case l.fate == acknowledged && !slices.Contains(births, l.queued):
			blame(l, "the history does not know %s", l.queued)
		case l.fate != unsettled && rec.removed[id]:
			blame(l, "it was removed")
		case l.fate == refused && arrived+len(births) > 0:
			blame(l, "it was refused and has come: %d arrived", arrived)
		case l.fate == unsettled && arrived+len(births) > 0 && !rec.removed[id] && !log.isUnsettled(id):
			blame(l, "451 was said, it has come, and it is not called unsettled: %d arrived", arrived)
		}
		if len(births) > 1 {
			blame(l, "it was accepted %d times", len(births))
		}
		if len(births) == 0 && arrived > 0 {
			blame(l, "it arrived and the history does not know it")
		}
		if len(births) == 1 {
			faults = append(faults, judgeCopies(l, k, rec, id)...)
		}
	}
	return append(faults, k.mangled...)
}

// judgeCopies counts the copies of a message that was accepted.
func judgeCopies(l *letter, k *sink, rec *record, id mail.MessageID) (faults []string) {
	for _, to := range l.to {
		copies, most := k.copies[copyOf{l.id, to}], 1+rec.doubts[doubted{id, to}]
		if strings.HasPrefix(to, "nobody") {
			copies, most = k.reports[l.from()], 0
			for _, report := range rec.reports[id] {
				most += 1 + rec.doubts[doubted{report, l.from()}]
			}
		}
		switch {
		case copies == 0 && !rec.removed[id]:
			faults = append(faults, fmt.Sprintf("LOST: letter %s (%s, %s) never came to %s", l.id, id, l.fate, to))
		case copies > most:
			faults = append(faults, fmt.Sprintf("COPIES: letter %s (%s, %s) came %d times to %s, at most %d by the record", l.id, id, l.fate, copies, to, most))
		}
	}
	return faults
}

// A judge that finds nothing proves nothing: it must see each kind of fault.
func TestTheJudgeSees(t *testing.T) {
	const id, report, to = mail.MessageID("03e6nkxybg012x5e2259"), mail.MessageID("03e6nkxybg012x5e225a"), "r0@sink1.example"
	l := letter{id: "1", to: []string{to}, fate: acknowledged, queued: id}
	for _, c := range []struct {
		what   string
		spoil  func(l *letter, k *sink, rec *record)
		faults int
	}{
		{"nothing", func(*letter, *sink, *record) {}, 0},
		{"lost", func(_ *letter, k *sink, _ *record) { clear(k.copies) }, 1},
		{"lost for one recipient", func(l *letter, _ *sink, _ *record) { l.to = append(l.to, "r1@sink1.example") }, 1},
		{"two copies", func(_ *letter, k *sink, _ *record) { k.copies[copyOf{"1", to}]++ }, 1},
		{"two copies, in doubt", func(_ *letter, k *sink, rec *record) { k.copies[copyOf{"1", to}]++; rec.doubts[doubted{id, to}]++ }, 0},
		{"refused, came", func(l *letter, _ *sink, _ *record) { l.fate = refused }, 1},
		{"451, came", func(l *letter, _ *sink, _ *record) { l.fate = unsettled }, 1},
		{"5yz", func(l *letter, _ *sink, _ *record) { l.fate = permanent }, 1},
		{"accepted twice", func(_ *letter, _ *sink, rec *record) { rec.births["1"] = append(rec.births["1"], report) }, 1},
		{"not in the history", func(_ *letter, _ *sink, rec *record) { clear(rec.births) }, 2},
		{"removed", func(_ *letter, _ *sink, rec *record) { rec.removed[id] = true }, 1},
		{"removed after 451", func(l *letter, k *sink, rec *record) { l.fate = unsettled; clear(k.copies); rec.removed[id] = true }, 0},
		{"mangled", func(_ *letter, k *sink, _ *record) { k.mangled = []string{"x"} }, 1},
		{"no report", func(l *letter, _ *sink, rec *record) {
			l.to[0] = "nobody@sink1.example"
			rec.reports[id] = []mail.MessageID{report}
		}, 1},
		{"two reports", func(l *letter, k *sink, rec *record) {
			l.to[0] = "nobody@sink1.example"
			rec.reports[id] = []mail.MessageID{report}
			k.reports[l.from()] = 2
		}, 1},
	} {
		l, k, rec := l, newSink(nil, nil), newRecord()
		l.to = slices.Clone(l.to)
		k.copies[copyOf{"1", to}] = 1
		rec.births["1"] = []mail.MessageID{id}
		c.spoil(&l, k, rec)
		if faults := judge([]*letter{&l}, k, rec, newDiary(t)); len(faults) != c.faults {
			t.Errorf("%s: %d faults, want %d: %q", c.what, len(faults), c.faults, faults)
		}
	}
}
