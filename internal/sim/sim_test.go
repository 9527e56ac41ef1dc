package sim_test

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
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
			t.Parallel()
			began := time.Now()
			copy, closeCopy := wholeLog(t, seed)
			defer closeCopy()
			synctest.Test(t, func(t *testing.T) { play(t, seed, copy) })
			t.Logf("in %.1f s", time.Since(began).Seconds())
		})
	}
}

// wholeLog is where the log of a run is copied to; nil for nowhere.
func wholeLog(t *testing.T, seed uint64) (io.Writer, func()) {
	if *logTo == "" {
		return nil, func() {}
	}
	f, err := os.Create(filepath.Join(*logTo, fmt.Sprintf("seed-%d.log", seed)))
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	return w, func() {
		_ = w.Flush()
		_ = f.Close()
	}
}

// play plays one schedule.
func play(t *testing.T, seed uint64, copy io.Writer) {
	random := rand.New(rand.NewPCG(seed, 0))
	nodes := 3
	if seed%4 == 0 {
		nodes = 5
	}
	s := draw(random, nodes, *lasting)
	log := newDiary(copy)
	log.note("seed %d, %d nodes\n%s", seed, nodes, s)
	defer func() {
		if t.Failed() {
			t.Logf("seed %d, %d nodes; what goes wrong, in seconds:\n%s\nthe end of the log:\n%s", seed, nodes, s, log)
		}
	}()
	runLoad(t, nodes, seed, log, func(c *Cluster, k *sink, _ *load) { s.play(c, k) })
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
	return conclude(t, c, k, in.letters)
}

// verdict is what a run that went well has seen.
type verdict struct {
	letters        []*letter
	copies, doubts int // beyond the first; recipients in doubt
}

// drainTime is how long the queue may take to empty once nothing is wrong.
const drainTime = 15 * time.Minute

// conclude waits until the mail has gone, and judges.
func conclude(t *testing.T, c *Cluster, k *sink, letters []*letter) (v verdict) {
	began := time.Now()
	err := c.drained(drainTime)
	fail(t, c.counted())
	if err != nil {
		t.Errorf("the queue does not empty: %v", err)
	}
	fail(t, c.equal())
	if t.Failed() {
		return v
	}
	v.letters = letters
	for _, name := range c.names {
		rec, err := c.read(name)
		if err != nil {
			t.Errorf("read the history on %s: %v", name, err)
			return v
		}
		fail(t, judge(letters, k, rec, c.log))
		v.doubts = 0
		for _, n := range rec.doubts {
			v.doubts += n
		}
		if t.Failed() {
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
	t.Logf("%d letters: %v; %d second copies, %d doubts; empty after %s", len(letters), fates, v.copies, v.doubts, time.Since(began).Round(time.Second))
	return v
}

// fail reports faults, but not hundreds of them.
func fail(t *testing.T, faults []string) {
	t.Helper()
	for i, f := range faults {
		if i == 10 {
			t.Errorf("and %d more", len(faults)-i)
			return
		}
		t.Error(f)
	}
}
