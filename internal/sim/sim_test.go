package sim_test

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

var (
	seeds   = flag.Int("seeds", 4, "how many schedules to play")
	first   = flag.Uint64("seed", 1, "the seed of the first schedule")
	lasting = flag.Duration("lasting", 60*time.Second, "virtual time of faults in a schedule")
	logTo   = flag.String("simlog", "", "file that gets the whole log of the runs")
)

// Whatever happens: nothing acknowledged is lost, nothing refused arrives, no
// copy beyond the in-doubt list, all replicas equal. A seed repeats the
// schedule of faults, not the interleaving: Raft's timers are its own.
func TestSchedules(t *testing.T) {
	var copy io.Writer
	if *logTo != "" {
		f, err := os.Create(*logTo)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Close() }()
		w := bufio.NewWriter(f)
		defer func() { _ = w.Flush() }()
		copy = w
	}
	for i := range *seeds {
		seed := *first + uint64(i)
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			began := time.Now()
			synctest.Test(t, func(t *testing.T) { play(t, seed, copy) })
			t.Logf("in %.1f s", time.Since(began).Seconds())
		})
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
	s.play(c, k)
	cancel()
	c.heal(k)
	<-loaded
	conclude(t, c, k, in.letters)
}

// drainTime is how long the queue may take to empty once nothing is wrong.
const drainTime = 15 * time.Minute

// conclude waits until the mail has gone, and judges.
func conclude(t *testing.T, c *Cluster, k *sink, letters []*letter) {
	began := time.Now()
	err := c.drained(drainTime)
	fail(t, c.counted())
	if err != nil {
		t.Errorf("the queue does not empty: %v", err)
	}
	fail(t, c.equal())
	if t.Failed() {
		return
	}
	doubts, copies := 0, 0
	for _, name := range c.names {
		rec, err := c.read(name)
		if err != nil {
			t.Errorf("read the history on %s: %v", name, err)
			return
		}
		fail(t, judge(letters, k, rec, c.log))
		doubts = 0
		for _, n := range rec.doubts {
			doubts += n
		}
		if t.Failed() {
			return
		}
	}
	for _, n := range k.copies {
		copies += n - 1
	}
	fates := map[fate]int{}
	for _, l := range letters {
		fates[l.fate]++
	}
	t.Logf("%d letters: %v; %d second copies, %d doubts; empty after %s", len(letters), fates, copies, doubts, time.Since(began).Round(time.Second))
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
