package permits

import (
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// term is how long what was given is held, and hesitation how long a node
	// that reaches no leader waits after that.
	term       = 4 * time.Second
	hesitation = term
	// keen is how long a node counts as one that uses rates, or wants connections,
	// after it did. What it was given for that is kept for it until it has looked,
	// for term at most: it may be short of time.
	keen = 600 * time.Millisecond
	// idle is after what time a permit that nobody uses is not renewed.
	idle = 10 * time.Second
)

// Grant is a node's part of a limit.
type Grant struct {
	// Connections is how many it may have; those that it has above stay.
	Connections int
	// Share is its part of all rates, 0 to 1.
	Share float64
	// Nodes is among how many the rates may be divided at most.
	Nodes int
	// More: there is more for it as soon as others have let go of it.
	More bool
}

// Permit is what this node holds of a limit; safe for concurrent use. Asking it
// never waits.
type Permit struct {
	key  string
	desk *Desk

	mu sync.Mutex
	// limit is the whole of connections; 0: none.
	limit int
	// active are connections, wanted how many it would like to have, as it last
	// said at the time hungry; used is when rates were last used, seen when
	// anything was asked.
	active, wanted     int
	hungry, used, seen time.Time
	// gained is when it was last given more.
	gained time.Time
	// held is what was given last, until then; office by whose leadership.
	held   Grant
	until  time.Time
	office uint64
}

// Connection says whether one more connection may be begun beside those that
// are; wanted is how many the node would like to have.
func (p *Permit) Connection(active, wanted int) bool {
	p.mu.Lock()
	now := p.desk.o.Now()
	p.seeLocked(now)
	p.active = active
	if p.limit == 0 {
		p.mu.Unlock()
		return true
	}
	may := active < p.grantLocked(now).Connections
	if may {
		p.active++
	} else {
		p.wanted, p.hungry = max(p.wanted, wanted, active+1), now
	}
	p.mu.Unlock()
	if !may {
		p.desk.wake()
	}
	return may
}

// Ended tells how many connections are left.
func (p *Permit) Ended(active int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.active = active
}

// Keeps reports whether the node may keep so many connections.
func (p *Permit) Keeps(active int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.limit == 0 || active <= p.grantLocked(p.desk.o.Now()).Connections
}

// Rates is this node's share of all rates, and among how many nodes they may be
// divided at most. Asking tells that it is needed.
func (p *Permit) Rates() (share float64, nodes int) {
	p.mu.Lock()
	now := p.desk.o.Now()
	fresh := now.Sub(p.used) > keen
	p.seeLocked(now)
	p.used = now
	g := p.grantLocked(now)
	p.mu.Unlock()
	if fresh {
		p.desk.wake()
	}
	return g.Share, g.Nodes
}

// Holds is what this node holds, and until when.
func (p *Permit) Holds() (Grant, time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.grantLocked(p.desk.o.Now()), p.until
}

// seeLocked notes that the permit is asked. One that was not for long was not
// renewed: it has to ask first, and does not count as one without a leader.
func (p *Permit) seeLocked(now time.Time) {
	if now.Sub(p.seen) > idle && now.After(p.until) {
		p.until = now
	}
	p.seen = now
}

// grantLocked is what the node may use now.
func (p *Permit) grantLocked(now time.Time) Grant {
	switch {
	case now.Before(p.until):
		return p.held
	case now.Before(p.until.Add(hesitation)), now.Sub(p.seen) > idle:
		return Grant{Nodes: p.held.Nodes}
	}
	return p.desk.fair(p.key, p.limit)
}

// fair is the part of a node without a leader: all parts are the whole.
func (d *Desk) fair(key string, limit int) Grant {
	members := append(d.o.Others(), d.o.Node)
	slices.SortFunc(members, func(a, b string) int { return strings.Compare(place(key, a), place(key, b)) })
	n := len(members)
	g := Grant{Connections: limit / n, Share: 1 / float64(n), Nodes: n}
	if slices.Index(members, d.o.Node) < limit%n {
		g.Connections++
	}
	return g
}

// report is what the leader is told; false if there is nothing to tell.
func (p *Permit) report(now time.Time) (report, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.keenLocked(p.hungry, now) {
		p.wanted = 0
	}
	r := report{
		Key: p.key, Limit: p.limit, Active: p.active, Wanted: max(p.wanted, p.active), Rates: p.keenLocked(p.used, now),
	}
	if !r.Rates {
		p.held.Share = 0 // given up: the others may have it from this word on
	}
	if now.Before(p.until) {
		r.Connections, r.Share, r.LeftMS = p.held.Connections, p.held.Share, p.until.Sub(now).Milliseconds()
	}
	return r, p.active > 0 || now.Sub(p.seen) <= idle
}

// keenLocked reports whether what the node asked for at a time is wanted still.
func (p *Permit) keenLocked(asked, now time.Time) bool {
	since := now.Sub(asked)
	return since <= keen || asked.Before(p.gained) && since <= term
}

// take takes over what a leader gave in answer to a question of that time.
func (p *Permit) take(g Grant, asked time.Time, office uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if office < p.office || p.desk.o.Now().Sub(asked) >= term {
		return
	}
	if g.More || g.Share < p.held.Share {
		p.desk.wake() // to hear of more, or to say that it knows
	}
	if g.Share > p.held.Share || g.Connections > p.held.Connections {
		p.gained = p.desk.o.Now()
	}
	p.held, p.until, p.office = g, asked.Add(term), office
}

// deposed notes a newer office: what older ones say is not believed.
func (p *Permit) deposed(office uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.office = max(p.office, office)
}

// forgettable reports whether the permit can be forgotten.
func (p *Permit) forgettable(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.active == 0 && now.Sub(p.seen) > time.Hour
}
