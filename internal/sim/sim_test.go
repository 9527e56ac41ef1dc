package sim_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

var (
	seeds   = flag.Int("seeds", 4, "how many schedules to play")
	first   = flag.Uint64("seed", 1, "the seed of the first schedule")
	lasting = flag.Duration("lasting", 60*time.Second, "virtual time of faults in a schedule")
	logTo   = flag.String("simlog", "", "existing folder that gets a whole log of each run")
)

// Whatever happens: nothing acknowledged is lost, nothing refused arrives, no
// copy beyond the in-doubt list, all replicas equal. A seed repeats the
// schedule of faults, not the interleaving: Raft's timers are its own.
func TestSchedules(t *testing.T) {
	for i := range *seeds {
		seed := *first + uint64(i)
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			if !*inside {
				t.Parallel()
				alone(t, seed)
				return
			}
			began := time.Now()
			log := newDiary(t)
			synctest.Test(t, func(t *testing.T) { play(t, seed, log) })
			t.Logf("in %.1f s", time.Since(began).Seconds())
		})
	}
}

// play plays one schedule.
func play(t *testing.T, seed uint64, log *diary) {
	log.begin()
	defer log.report(t)
	random := rand.New(rand.NewPCG(seed, 0))
	nodes := founders(seed)
	s := draw(random, nodes, *lasting)
	if seed%4 != 3 { // else the members stay what they are
		s = s.with(drawChanges(random, *lasting))
	}
	log.note("seed %d, %d nodes; what goes wrong, in seconds:\n%s", seed, nodes, s)
	defer func() {
		if log.failed() {
			t.Logf("seed %d, %d nodes; what goes wrong, in seconds:\n%s", seed, nodes, s)
		}
	}()
	runLoad(t, nodes, seed, log, func(c *Cluster, k *sink, _ *load) { s.play(c, k) })
}

// founders is how many nodes found the cluster: three for most seeds.
func founders(seed uint64) int {
	switch seed % 16 {
	case 0, 4, 8:
		return 5
	case 6:
		return 2
	case 9:
		return 1
	case 12:
		return 4
	}
	return 3
}

// runLoad starts a cluster and a load, has f do what it likes to them, heals
// all, and judges. It returns what was seen.
func runLoad(t *testing.T, nodes int, seed uint64, log *diary, f func(*Cluster, *sink, *load)) verdict {
	c := NewCluster(t, nodes, rand.New(rand.NewPCG(seed, 1)), log)
	k := newSink(c.net, rand.New(rand.NewPCG(seed, 2)))
	if err := k.open(); err != nil {
		t.Fatal(err)
	}
	defer k.close()
	defer c.Close()
	in := &load{cluster: c, random: rand.New(rand.NewPCG(seed, 3)), every: 50 * time.Millisecond}
	ctx, cancel := context.WithCancel(context.Background())
	loaded := make(chan struct{})
	go func() {
		defer close(loaded)
		in.run(ctx)
	}()
	f(c, k, in)
	cancel()
	c.heal(k)
	<-loaded
	c.finish()
	return conclude(t, c, k, in.letters)
}

// verdict is what a run that went well has seen.
type verdict struct {
	letters []*letter
	copies  int             // beyond the first
	doubts  map[doubted]int // recipients in doubt, and how often
}

// drainTime is how long the queue may take to empty once nothing is wrong.
const drainTime = 15 * time.Minute

// conclude waits until the mail has gone, and judges.
func conclude(t *testing.T, c *Cluster, k *sink, letters []*letter) (v verdict) {
	if c.log.failed() {
		return v
	}
	began := time.Now()
	err := c.drained(drainTime)
	c.log.complainOf(c.counted())
	if err != nil {
		c.log.complain("the queue does not empty: %v", err)
	}
	c.log.complainOf(c.equal())
	if c.log.failed() {
		return v
	}
	v.letters = letters
	for _, name := range c.names {
		rec, err := c.readWhole(name)
		if err != nil {
			c.log.complain("read the history on %s: %v", name, err)
			return v
		}
		c.log.complainOf(judge(letters, k, rec, c.log))
		v.doubts = rec.doubts
		if c.log.failed() {
			return v
		}
	}
	for _, n := range k.copies {
		v.copies += n - 1
	}
	fates := map[fate]int{}
	for _, l := range letters {
		fates[l.fate]++
	}
	t.Logf("%d letters: %v; %d second copies, %d doubts; empty after %s", len(letters), fates, v.copies, len(v.doubts), time.Since(began).Round(time.Second))
	return v
}
