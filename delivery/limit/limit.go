// Package limit says what a site may be given: connections, messages and
// recipients, for this node and for the whole cluster. A Rule is the operator's;
// a Pace is how this node keeps its part of the rates.
//
// A rate of so many in a period is kept in every stretch of that length, and not
// only in the mean: a twentieth of it may come at once, the rest evenly. So the
// nodes' parts may change hands at any time, and together stay below the whole.
package limit

import (
	"sync"
	"time"
)

// Rule is what the operator allows the sites that it is about. Zero: no limit.
type Rule struct {
	Name string
	// Connections are those of all nodes together, PerNode those of each.
	Connections, PerNode int
	// The rates are those of all nodes together.
	MessagesPerMinute, MessagesPerHour, RecipientsPerMinute int
	// MessagesPerConnection and RecipientsPerMessage are the most of each.
	MessagesPerConnection, RecipientsPerMessage int
	// Patterns say what follows from servers' answers.
	Patterns []Pattern
}

// Eased is the rule for a site of which it was learnt that it takes no more than
// so many connections, or only a part of what it is allowed; 0: nothing was.
// usual is how many connections a node opens to a site without a rule.
func (r Rule) Eased(connections int, factor float64, usual int) *Rule {
	if factor > 0 && factor < 1 {
		part := func(n int) int {
			if n == 0 {
				return 0
			}
			return max(1, int(float64(n)*factor))
		}
		if r.Connections == 0 && !r.Rated() {
			r.Connections = usual
		}
		r.Connections, r.PerNode = part(r.Connections), part(r.PerNode)
		r.MessagesPerMinute, r.MessagesPerHour = part(r.MessagesPerMinute), part(r.MessagesPerHour)
		r.RecipientsPerMinute = part(r.RecipientsPerMinute)
	}
	if connections > 0 && (r.Connections == 0 || connections < r.Connections) {
		r.Connections = connections
	}
	return &r
}

// Shared reports whether the nodes have to share something.
func (r *Rule) Shared() bool { return r.Connections > 0 || r.Rated() }

// Rated reports whether there is a rate.
func (r *Rule) Rated() bool {
	return r.MessagesPerMinute > 0 || r.MessagesPerHour > 0 || r.RecipientsPerMinute > 0
}

// Place is a site as rules see it.
type Place struct {
	// Key names the site; Hosts are its hosts' names.
	Key   string
	Hosts []string
	// Router and Domain are those of the mail that first went there.
	Router, Domain string
	// Address is what the mail leaves from; "" where the system chooses.
	Address string
}

// Rules finds the rule for a place, and that for the address that mail leaves
// from there; nil: there is none.
type Rules func(Place) (site, address *Rule)

// Part is this node's part of the rates: a share of the whole, which is divided
// among so many nodes at most.
type Part struct {
	Share float64
	Nodes int
}

// Pace keeps the rates of one site; safe for concurrent use.
type Pace struct {
	mu                         sync.Mutex
	minute, hour, perRecipient bucket
}

// bucket is a part of a rate: tokens, of which each message takes one, or one
// for each recipient. What was promised for later is taken already.
type bucket struct {
	tokens float64
	filled time.Time
}

// Take takes the right to a message of so many recipients. It says how long the
// message has to wait for it; where that is longer than patience it takes
// nothing, and says no.
func (p *Pace) Take(r *Rule, part Part, recipients int, now time.Time, patience time.Duration) (time.Duration, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	rates := p.ratesLocked(r)
	var wait time.Duration
	for i := range rates {
		w, ok := rates[i].wait(part, recipients, now)
		if !ok {
			return 0, false
		}
		wait = max(wait, w)
	}
	if wait > patience {
		return 0, false
	}
	for i := range rates {
		rates[i].take(recipients)
	}
	return wait, true
}

// Return gives back what Take gave for a message that was not sent.
func (p *Pace) Return(r *Rule, recipients int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, rate := range p.ratesLocked(r) {
		rate.take(-recipients)
	}
}

// Wait is how long a message to one recipient would have to wait now; ok is false
// where the node has no part of the rates.
func (p *Pace) Wait(r *Rule, part Part, now time.Time) (wait time.Duration, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, rate := range p.ratesLocked(r) {
		w, ok := rate.wait(part, 1, now)
		if !ok {
			return 0, false
		}
		wait = max(wait, w)
	}
	return wait, true
}

// Ready reports whether a message could go within the time.
func (p *Pace) Ready(r *Rule, part Part, now time.Time, within time.Duration) bool {
	wait, ok := p.Wait(r, part, now)
	return ok && wait <= within
}

// rate is a limit with its bucket.
type rate struct {
	bucket *bucket
	whole  int
	period time.Duration
	// each: every recipient counts.
	each bool
}

func (p *Pace) ratesLocked(r *Rule) []rate {
	all := [3]rate{
		{&p.minute, r.MessagesPerMinute, time.Minute, false},
		{&p.hour, r.MessagesPerHour, time.Hour, false},
		{&p.perRecipient, r.RecipientsPerMinute, time.Minute, true},
	}
	var some []rate
	for _, x := range all {
		if x.whole > 0 {
			some = append(some, x)
		}
	}
	return some
}

// burst is the part of a rate, of all nodes together, that may come at once.
func (x rate) burst(nodes int) float64 {
	whole := float64(x.whole)
	return min(max(whole/20, float64(nodes)), whole/2)
}

// wait is how long the bucket has to be filled for one more message.
func (x rate) wait(part Part, recipients int, now time.Time) (time.Duration, bool) {
	b := x.bucket
	if part.Share <= 0 { // what was saved belongs to others now
		b.tokens, b.filled = min(b.tokens, 0), now
		return 0, false
	}
	burst := x.burst(part.Nodes)
	perSecond := (float64(x.whole) - burst) * part.Share / x.period.Seconds()
	most := max(1, burst*part.Share)
	if b.filled.IsZero() {
		b.tokens = 1
	} else {
		b.tokens = min(most, b.tokens+perSecond*now.Sub(b.filled).Seconds())
	}
	b.filled = now
	need := 1.0
	if x.each { // more than can ever be there goes when it is full
		need = min(float64(recipients), most)
	}
	if b.tokens >= need {
		return 0, true
	}
	return time.Duration((need - b.tokens) / perSecond * float64(time.Second)), true
}

// take takes the right to one message of so many recipients; less than none give
// it back.
func (x rate) take(recipients int) {
	switch {
	case x.each:
		x.bucket.tokens -= float64(recipients)
	case recipients < 0:
		x.bucket.tokens++
	default:
		x.bucket.tokens--
	}
}
