package permits

import (
	"sync"
	"time"
)

// report is what a node says of one key: what it uses, would like to use, and
// holds for how long.
type report struct {
	Key   string `json:"key"`
	Limit int    `json:"limit,omitempty"`
	// Active connections, and how many are wanted; Rates: it uses rates.
	Active int  `json:"active,omitempty"`
	Wanted int  `json:"wanted,omitempty"`
	Rates  bool `json:"rates,omitempty"`
	// Connections and Share are held for LeftMS.
	Connections int     `json:"connections,omitempty"`
	Share       float64 `json:"share,omitempty"`
	LeftMS      int64   `json:"left_ms,omitempty"`
}

// book is what the leader of a shard has given out in one office.
type book struct {
	office uint64
	// settled: all that was given out before is known, or over.
	settled bool
	began   time.Time
	keys    map[string]map[string]*holder // by key and node
}

// holder is a node that holds a part of a limit. What counts as its own is the
// larger of what it was given and what it said that it has: it may not know yet
// that it gets less.
type holder struct {
	given, held    Grant
	active, wanted int
	rates          bool
	until          time.Time
}

func (h *holder) connections() int { return max(h.given.Connections, h.held.Connections, h.active) }

func (h *holder) share() float64 { return max(h.given.Share, h.held.Share) }

// books are those of the shards that this node leads.
type books struct {
	mu    sync.Mutex
	books map[uint16]*book
}

// told notes what a node says that it has.
func (b *book) told(node string, r report, now time.Time) *holder {
	holders := b.keys[r.Key]
	if holders == nil {
		holders = map[string]*holder{}
		b.keys[r.Key] = holders
	}
	for name, h := range holders {
		if now.After(h.until) {
			delete(holders, name)
		}
	}
	h := holders[node]
	if h == nil {
		h = &holder{}
		holders[node] = h
	}
	h.held = Grant{Connections: r.Connections, Share: r.Share}
	h.active, h.wanted, h.rates = r.Active, r.Wanted, r.Rates
	if left := now.Add(time.Duration(r.LeftMS) * time.Millisecond); left.After(h.until) {
		h.until = left
	}
	return h
}

// give gives a node its part. nodes is the number of members.
func (b *book) give(node string, r report, nodes int, now time.Time) Grant {
	h := b.told(node, r, now)
	g := h.held
	b.settled = b.settled || now.Sub(b.began) > term
	if b.settled {
		holders := b.keys[r.Key]
		g.Connections = min(part(holders, h, r.Limit), r.Limit-others(holders, h, (*holder).connections))
		fair := h.fairShare(holders)
		g.Share = min(fair, 1-others(holders, h, (*holder).share))
		g.More = g.Share < fair-1e-9
	}
	g.Connections, g.Share, g.Nodes = max(g.Connections, 0), max(g.Share, 0), nodes
	h.given, h.until = g, now.Add(term)
	return g
}

// others adds up what the others have.
func others[N int | float64](holders map[string]*holder, but *holder, of func(*holder) N) N {
	var total N
	for _, h := range holders {
		if h != but {
			total += of(h)
		}
	}
	return total
}

// fairShare is the same for all who use rates.
func (h *holder) fairShare(holders map[string]*holder) float64 {
	if !h.rates {
		return 0
	}
	n := 0
	for _, o := range holders {
		if o.rates {
			n++
		}
	}
	return 1 / float64(n)
}

// part is how many connections a node gets where nobody gets more than it wants,
// and those who want more all get the same; what is left over goes to it in any
// case.
func part(holders map[string]*holder, h *holder, limit int) int {
	left, hungry := limit, 0
	for _, o := range holders {
		if o.wanted > 0 {
			hungry++
		}
	}
	level := 0
	for done := map[*holder]bool{}; hungry > 0; {
		level = left / hungry
		below := 0
		for _, o := range holders {
			if !done[o] && o.wanted > 0 && o.wanted <= level {
				done[o] = true
				left -= o.wanted
				below++
			}
		}
		if hungry -= below; below == 0 {
			// The remainder: whoever asks may have it, as far as it is free.
			if left%hungry > 0 {
				level++
			}
			break
		}
	}
	if hungry == 0 {
		return h.wanted
	}
	return min(h.wanted, level)
}
