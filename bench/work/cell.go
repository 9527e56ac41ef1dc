package work

import (
	"cmp"
	"fmt"
	"time"
)

// Cell is what the clients do.
type Cell struct {
	// Size is the bytes of a message, Sessions the connections used at once,
	// PerConnection how many messages each carries: 1 is a new connection for
	// every message.
	Size          int `json:"size"`
	Sessions      int `json:"sessions"`
	PerConnection int `json:"per_connection"`
	// Rate is messages a second over all sessions, sent when they are due
	// whatever the relay does; 0 is as fast as the sessions go.
	Rate float64 `json:"rate,omitempty"`
}

// String is the cell as tables call it.
func (c Cell) String() string {
	s := fmt.Sprintf("%s × %d", Size(int64(c.Size)), c.Sessions)
	if c.PerConnection == 1 {
		s += " new"
	}
	if c.Rate > 0 {
		s += fmt.Sprintf(" at %.0f/s", c.Rate)
	}
	return s
}

// Size writes bytes in the units of our figures: 10 KB are 10,000.
func Size(n int64) string {
	switch {
	case n >= 1_000_000 && n%100_000 == 0:
		return fmt.Sprintf("%g MB", float64(n)/1e6)
	case n >= 1000 && n%100 == 0:
		return fmt.Sprintf("%g KB", float64(n)/1e3)
	}
	return fmt.Sprintf("%d B", n)
}

// Options say how long a cell is worked. Zero means a default only where it is
// said.
type Options struct {
	// For is how long clients send; 0 means 10 s. Warm is how long they did so
	// before, uncounted; 0 means not at all.
	For, Warm time.Duration
	// Drain is how long after that mail may take to arrive at the next hop; 0
	// means 30 s.
	Drain time.Duration
	// Held: the next hop refuses connections, and nothing is waited for.
	Held bool
	// Count, if not 0, ends sending earlier.
	Count int64
}

func (o Options) withDefaults() Options {
	o.For = cmp.Or(o.For, 10*time.Second)
	o.Drain = cmp.Or(o.Drain, 30*time.Second)
	return o
}
