package faults

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Options says what is tried. Zero means a default only where it is said.
type Options struct {
	// Binary is the program.
	Binary string
	// Dir gets configurations and logs, and is kept; "" means a temporary one.
	Dir string
	// Nodes is how many; 0 means 3.
	Nodes int
	// Faults are the names of those to try; nil means all, in a sequence that
	// Seed decides.
	Faults []string
	// Repeat is how often the sequence is gone through; 0 means once.
	Repeat int
	// Seed decides the sequence, and what is drawn within a round.
	Seed uint64
	// For is how long load flows in a round: a fifth before the fault, and a
	// quarter after it. 0 means 15 s. Some faults take longer by their nature.
	For time.Duration
	// Rate is the load in messages a second; 0 means 50.
	Rate float64
	// Plain does without namespaces, file systems and resolver, and so
	// without the faults that need them: everything is on loopback.
	Plain bool
}

func (o Options) filled() Options {
	if o.Nodes == 0 {
		o.Nodes = 3
	}
	if o.For == 0 {
		o.For = 15 * time.Second
	}
	if o.Rate == 0 {
		o.Rate = 50
	}
	if o.Repeat == 0 {
		o.Repeat = 1
	}
	return o
}

func (o Options) before() time.Duration { return o.For / 5 }
func (o Options) after() time.Duration  { return o.For / 4 }
func (o Options) hold() time.Duration   { return o.For - o.before() - o.after() }

// sequence is the faults to try in their order.
func (o Options) sequence() ([]fault, error) {
	all := table()
	var chosen []fault
	for _, name := range o.Faults {
		i := slices.IndexFunc(all, func(f fault) bool { return f.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no fault %q: choose among %s", name, strings.Join(Names(), ", "))
		}
		chosen = append(chosen, all[i])
	}
	if o.Faults == nil {
		chosen = all
		random := rand.New(rand.NewPCG(o.Seed, 0))
		random.Shuffle(len(all), func(i, k int) { all[i], all[k] = all[k], all[i] })
	}
	return slices.Repeat(chosen, o.filled().Repeat), nil
}
