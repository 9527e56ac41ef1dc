// Package scan reads a shard's due index for as long as an office lasts: the
// newest rows whenever some may have appeared, and in between a sweep of the
// whole index, which finds what was there before and what found no room. New
// mail it is told of by name, and need not read.
package scan

import (
	"context"
	"maps"
	"time"

	"quorumta/internal/mail"
	"quorumta/queue/state"
)

const (
	// pageRows is how many rows of the index are read at once.
	pageRows = 500
	// fewRows is how many are read to find the next one that is due.
	fewRows = 16
	// overlap is how far behind the newest rows new ones may still appear:
	// entries under way together may overtake each other.
	overlap = 250 * time.Millisecond
	// recentRows is how many of the newest rows are remembered: an operator may
	// make a million due at once.
	recentRows = 10_000
	// sweepRest is the shortest time between two sweeps of the whole index,
	// and sweepShare how many times its own duration a sweep rests.
	sweepRest  = 5 * time.Second
	sweepShare = 20
	// pageShare is how many times its own duration a page of a later sweep rests
	// when half of what the one before it showed found no room: as with a site
	// that is dead, what follows is likely to find none either. The first sweep
	// of an office goes on at once, since nobody knows yet what there is.
	pageShare = 19
	// sweepSoon is the shortest time between two sweeps where something appeared
	// that is not among the newest rows.
	sweepSoon = 250 * time.Millisecond
	// tailShare is how many times its own duration reading the newest rows
	// rests, so that it stays a small part of what the processor does; it
	// rests tailRest at most, and tailLeast at least, so that what comes
	// together is read together.
	tailShare = 10
	tailRest  = 25 * time.Millisecond
	tailLeast = 10 * time.Millisecond
)

// Index is a shard's due index, as its office sees it; asked by one goroutine.
type Index interface {
	// Due returns at most limit rows after a row, due until a time, in order.
	Due(after state.DueRow, until time.Time, limit int) []state.DueRow
	// Changed is closed when rows may have appeared since the call.
	Changed() <-chan struct{}
	// Arrivals takes rows that have appeared since the last call, and of which
	// Changed says nothing; Arrived is sent to when there are some. They go into
	// the slice given, which is one that was returned before.
	Arrivals(into []state.DueRow) []state.DueRow
	Arrived() <-chan struct{}
}

// Options say what is scanned, and for whom; all are needed.
type Options struct {
	Index Index
	// Take gets each message that a row was found of; it may have got it
	// before. It may wait.
	Take func(context.Context, mail.MessageID)
	// Appetite tells how many sweeps were asked for so far, and what is closed
	// with the next.
	Appetite func() (meals uint64, next <-chan struct{})
	// Dropped counts what found no room so far.
	Dropped func() uint64
	// Now is the shard's clock, that due times are read by. It may stand still.
	Now func() time.Time
	// Pace is the clock that sweeps go by.
	Pace func() time.Time
}

// scanner belongs to one goroutine.
type scanner struct {
	Options

	// tail is up to where the newest rows were read, recent when those were
	// taken that are still overlapped: a row that found no room must not be
	// routed again with each reading. What a row stands for may have changed
	// after that, as by a hold and its release: it is remembered for overlap.
	tail   time.Time
	recent map[state.DueRow]time.Time
	// read is until when the newest rows were read.
	read time.Time
	// arrivals are the last ones taken, arrived is when there were some. newest is
	// the highest due time of all.
	arrivals []state.DueRow
	arrived  time.Time
	newest   time.Time
	// timer is what listen waits by.
	timer *time.Timer
	sweep sweep
}

// sweep is the reading of the whole index, page by page.
type sweep struct {
	// at is the place in the one under way.
	under bool
	at    state.DueRow
	// next is when the next page is read, or the next sweep begins; fed is how
	// many were asked for when the last one did.
	next time.Time
	fed  uint64
	// dropped is what had found no room before the last page.
	dropped uint64
	// ended is when the last sweep did, cost how long its pages took.
	ended time.Time
	cost  time.Duration
}

// Run scans until ctx ends.
func Run(ctx context.Context, o Options) {
	s := scanner{
		Options: o, tail: o.Now(), recent: map[state.DueRow]time.Time{},
		timer: time.NewTimer(time.Hour), sweep: sweep{next: o.Pace()},
	}
	defer s.timer.Stop()
	told := false // that the index has changed
	for ctx.Err() == nil {
		changed := s.Index.Changed()
		_, hunger := s.Appetite()
		s.takeArrivals(ctx)
		began := s.Pace()
		news := s.readTail(ctx)
		took := s.Pace().Sub(began)
		if told && !news {
			s.sweepEarly()
		}
		if s.sweepPage(ctx) {
			told = false
			continue
		}
		s.listen(ctx, min(max(took*tailShare, tailLeast), tailRest), nil, nil)
		if told = isClosed(changed); told {
			continue // what is due next is asked for when nothing happens
		}
		s.listen(ctx, s.untilNext(), changed, hunger)
		told = isClosed(changed)
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// listen takes what arrives for d, or until one of the channels is closed, or
// ctx ends.
func (s *scanner) listen(ctx context.Context, d time.Duration, changed, hunger <-chan struct{}) {
	s.timer.Reset(d)
	for {
		select {
		case <-s.Index.Arrived():
			s.takeArrivals(ctx)
			continue
		case <-ctx.Done():
		case <-changed:
		case <-hunger:
		case <-s.timer.C:
		}
		return
	}
}

// takeArrivals takes the messages that have been accepted just now.
func (s *scanner) takeArrivals(ctx context.Context) {
	s.arrivals = s.Index.Arrivals(s.arrivals)
	pace := s.Pace()
	for _, row := range s.arrivals {
		s.remember(row, pace)
		s.Take(ctx, row.ID)
		if row.Due.After(s.newest) {
			s.newest = row.Due
		}
	}
	if len(s.arrivals) > 0 {
		s.arrived = pace
	}
}

// remember keeps a row from being taken again.
func (s *scanner) remember(row state.DueRow, taken time.Time) {
	if _, known := s.recent[row]; known || len(s.recent) < recentRows {
		s.recent[row] = taken
	}
}

// untilNext is how long nothing happens by itself: until the next row is due,
// or the next sweep.
func (s *scanner) untilNext() time.Duration {
	now := s.Now()
	wait := s.sweep.next.Sub(s.Pace())
	// From where the newest rows end: something may have become due meanwhile.
	after := state.DueRow{Due: s.read.Add(time.Millisecond)}
	for {
		rows := s.Index.Due(after, now.Add(wait), fewRows)
		for _, row := range rows {
			if _, seen := s.recent[row]; !seen || row.Due.After(now) {
				return max(min(wait, row.Due.Sub(now)), time.Millisecond)
			}
		}
		if len(rows) < fewRows {
			return max(wait, time.Millisecond)
		}
		after = rows[fewRows-1]
	}
}

// readTail takes the rows that became due since the last time. It goes by the
// rows that it has seen, not by the clock: a row appears when its entry is
// committed, which may be long after it was stamped, but in the order of the
// stamps. It reports whether there were any, or messages have arrived lately.
func (s *scanner) readTail(ctx context.Context) (news bool) {
	now, pace := s.Now(), s.Pace()
	s.read, news = now, !s.arrived.IsZero() && pace.Sub(s.arrived) <= overlap
	after := state.DueRow{Due: s.tail.Add(-overlap)}
	for ctx.Err() == nil {
		rows := s.Index.Due(after, now, pageRows)
		for _, row := range rows {
			if taken, seen := s.recent[row]; seen && pace.Sub(taken) <= overlap {
				continue
			}
			s.remember(row, pace)
			news = true
			s.Take(ctx, row.ID)
		}
		if len(rows) > 0 {
			after = rows[len(rows)-1]
		}
		if len(rows) < pageRows {
			break
		}
	}
	for _, seen := range []time.Time{after.Due, s.newest} {
		if seen.After(s.tail) && !seen.After(now) {
			s.tail = seen
		}
	}
	maps.DeleteFunc(s.recent, func(row state.DueRow, taken time.Time) bool {
		return row.Due.Before(s.tail.Add(-overlap)) || pace.Sub(taken) > overlap
	})
	return news
}

// sweepEarly has the next sweep begin soon: what has appeared is due since long,
// as what an operator releases.
func (s *scanner) sweepEarly() {
	w := &s.sweep
	soon := w.ended.Add(max(sweepSoon, w.cost*sweepShare))
	if !w.under && soon.Before(w.next) {
		w.next = soon
	}
}

// sweepPage reads a page of the whole index; false where the next one has time.
func (s *scanner) sweepPage(ctx context.Context) bool {
	w, began := &s.sweep, s.Pace()
	meals, _ := s.Appetite()
	switch {
	case w.under && began.Before(w.next), !w.under && began.Before(w.next) && meals == w.fed:
		return false
	case !w.under:
		w.under, w.at, w.fed, w.cost = true, state.DueRow{}, meals, 0
	}
	before := s.Dropped()
	vain := before-w.dropped >= pageRows/2 && !w.ended.IsZero()
	w.dropped = before
	rows := s.Index.Due(w.at, s.Now(), pageRows)
	for _, row := range rows {
		s.Take(ctx, row.ID)
	}
	now := s.Pace()
	took := now.Sub(began)
	w.cost += took
	if len(rows) < pageRows {
		w.under, w.ended = false, now
		w.next = now.Add(max(sweepRest, w.cost*sweepShare))
		return false
	}
	w.at, w.next = rows[len(rows)-1], now
	if vain {
		w.next = now.Add(took * pageShare)
	}
	return !vain
}
