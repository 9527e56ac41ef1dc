package sim_test

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"quorumta/cluster"
	"quorumta/internal/mail"
	"quorumta/queue/event"
	"quorumta/queue/state"
)

// The scenarios of this file bring about what chance hardly does: the moment
// that one guard is for.

// A vote that was given is remembered, or a term has two leaders. A leader
// dies. The next one is elected by the third node, whose power fails at once,
// while it is cut off itself and writes entries that nobody confirms: if the
// third has forgotten its vote, it makes the old leader that of the same term.
func TestVotesAreKept(t *testing.T) {
	inCluster(t, func(c *Cluster, _ *sink, _ *load) {
		for range 3 {
			c.electTwice()
			if c.log.failed() {
				return
			}
		}
	}, func(*diary, verdict) {})
}

// electTwice plays the scenario with shard 1.
func (c *Cluster) electTwice() {
	old := c.Leader(1)
	c.log.note("%s leads, and dies", old)
	type election struct{ winner, voter string }
	elected := make(chan election, 1)
	var once atomic.Bool
	c.log.listen(func(on, shard, message string) {
		if shard != "1" || message != "raft: election won" || !once.CompareAndSwap(false, true) {
			return
		}
		voter := c.names[slices.IndexFunc(c.names, func(name string) bool { return name != old && name != on })]
		for _, name := range c.names {
			c.net.Cut(on, name)
		}
		c.PowerLoss(voter, 0)
		elected <- election{on, voter}
	})
	c.Crash(old)
	var e election
	select {
	case e = <-elected:
	case <-time.After(time.Minute):
		c.log.listen(nil)
		c.log.complain("nobody is elected for shard 1")
		return
	}
	c.log.listen(nil)
	c.log.note("%s is elected and cut off, %s has lost power", e.winner, e.voter)
	c.mark(e.winner)
	c.Start(old)
	c.Start(e.voter)
	time.Sleep(8 * time.Second) // of virtual time: they elect, and take mail
	c.log.note("heal")
	c.net.Heal()
	time.Sleep(4 * time.Second) // of virtual time
	c.log.complainOf(c.counted())
	c.log.complainOf(c.equal())
}

// mark has the node propose what nobody confirms, if it takes itself for a
// leader.
func (c *Cluster) mark(name string) {
	p := c.process(name)
	if p == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	var marking sync.WaitGroup
	for range 12 {
		marking.Go(func() { _, _ = p.node.Digest(ctx, false) })
	}
	marking.Wait()
}

// A leader that does not know yet that there is another writes nothing into
// the other's term (hashicorp/raft#695). What it was told before it was cut off
// comes late, so it takes itself for a leader too long; then some connections
// are slower than others, so it may hear of the other one's term before it gets
// its entries, and what was decided before is proposed in that moment. All
// is quiet until then: entries of its own term would be seen to be wrong.
func TestNothingIsWrittenInAnothersTerm(t *testing.T) {
	inCluster(t, func(c *Cluster, _ *sink, in *load) {
		const rounds = 24
		for range rounds {
			in.rests.Store(true)
			time.Sleep(2 * time.Second) // of virtual time
			leader := c.Leader(1)
			c.log.note("%s hears late, and is not heard", leader)
			c.net.Delay(leader, c.someTime(func(n int) time.Duration { // now one, now another
				return time.Duration(n%4+1)*370*time.Millisecond + time.Duration(c.random.IntN(60))*time.Millisecond
			}))
			time.Sleep(150 * time.Millisecond) // of virtual time
			c.net.Mute(leader)
			c.net.Delay(leader, c.someTime(func(int) time.Duration { return between(c.random, 0, time.Second) }))
			c.proposeLate(leader, 1, 3*time.Second)
			in.rests.Store(false)
			c.log.note("heal")
			c.net.Heal()
			time.Sleep(2 * time.Second) // of virtual time
			c.log.complainOf(c.counted())
			if c.log.failed() {
				return
			}
		}
	}, func(*diary, verdict) {})
}

// proposeLate has the node propose entries of nothing in the office that it
// holds now, when it has heard of a later one, if it does within the time.
func (c *Cluster) proposeLate(name string, shard cluster.ShardID, within time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	node := c.process(name).node
	term, _ := node.Term(shard)
	heard := func() bool {
		return slices.ContainsFunc(node.Status(), func(s cluster.ShardStatus) bool { return s.ID == shard && s.Term > term })
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil && !heard() {
		<-tick.C
	}
	var proposing sync.WaitGroup
	for range 3 {
		proposing.Go(func() { _, _ = node.Propose(ctx, shard, term, event.Append(nil, event.Entry{Term: term})) })
	}
	proposing.Wait()
}

// someTime draws times one at a time, from whatever goroutine; draw is told how
// many it has drawn.
func (c *Cluster) someTime(draw func(n int) time.Duration) func() time.Duration {
	var mu sync.Mutex
	drawn := 0
	return func() time.Duration {
		mu.Lock()
		defer mu.Unlock()
		drawn++
		return draw(drawn - 1)
	}
}

// What a snapshot says to be in the state is on disk before the log is cut:
// power fails everywhere, and everything is there again.
func TestStatesSurvivePowerLoss(t *testing.T) {
	inCluster(t, func(c *Cluster, _ *sink, _ *load) {
		for range 3 {
			time.Sleep(8 * time.Second) // of virtual time
			c.log.note("power is lost everywhere")
			for _, name := range c.names {
				c.PowerLoss(name, 0)
			}
			for _, name := range c.names {
				c.Start(name)
			}
			time.Sleep(3 * time.Second) // of virtual time
			c.log.complainOf(c.counted())
			if c.log.failed() {
				return
			}
		}
	}, func(*diary, verdict) {})
}

// A snapshot holds more than its label says, and says how much: nothing of it is
// folded again (PROTOCOL 5).
func TestSnapshotsAreNotFoldedAgain(t *testing.T) {
	inCluster(t, func(c *Cluster, _ *sink, _ *load) {
		const late = "n3"
		var installed atomic.Bool
		c.log.listen(func(on, _, message string) {
			if on == late && message == "raft: Installed remote snapshot" {
				installed.Store(true)
			}
		})
		defer c.log.listen(nil)
		c.Crash(late)
		time.Sleep(30 * time.Second) // of virtual time: the others cut their logs
		c.Start(late)
		time.Sleep(5 * time.Second) // of virtual time
		if !installed.Load() {
			c.log.complain("%s got no snapshot", late)
		}
		c.log.complainOf(c.counted())
		c.log.complainOf(c.equal())
	}, func(*diary, verdict) {})
}

// What was decided in one term and comes into the log in another is refused,
// if it is a claim (PROTOCOL 14).
func TestOldDecisionsAreRefused(t *testing.T) {
	inCluster(t, func(c *Cluster, k *sink, _ *load) {
		k.setMood(mood{deferDot: 100})
		tried := 0
		for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
			tried += c.claimLate()
		}
		if tried == 0 {
			c.log.complain("no message was pending in 20 s")
		}
		k.setMood(calm)
	}, func(*diary, verdict) {})
}

// claimLate has the leaders propose claims that seem to be of an earlier term,
// of one message of each shard that waits for its next attempt. It returns how
// many.
func (c *Cluster) claimLate() (tried int) {
	for _, name := range c.names {
		p := c.process(name)
		if p == nil {
			continue
		}
		for _, shard := range p.node.Shards() {
			term, ok := p.node.Term(shard)
			if !ok {
				continue
			}
			view, done, err := p.node.View(shard)
			if err != nil {
				continue
			}
			claim := waiting(view, p.queue.Process())
			done()
			if claim == nil {
				continue
			}
			entry := event.Append(nil, event.Entry{Term: term - 1, Groups: []event.Group{*claim}})
			ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
			results, err := p.node.Propose(ctx, shard, term, entry)
			cancel()
			if err != nil {
				continue
			}
			tried++
			if got := state.Result(results[0]); got != state.Late && got != state.Unknown {
				c.log.complain("a claim of %s in shard %d that was decided in term %d and committed in term %d: %v", claim.ID, shard, term-1, term, got)
			}
		}
	}
	return tried
}

// waiting is a claim of a message that is pending for all its recipients.
func waiting(r state.Reader, by event.Process) (claim *event.Group) {
	state.Open(r, "", func(id mail.MessageID) bool {
		m, _ := state.Load(r, id)
		claimed := &event.Claimed{Number: m.Attempts + 1, By: by}
		for n, x := range m.Recipients {
			if x.Phase == state.Pending {
				claimed.Recipients = append(claimed.Recipients, uint32(n))
			}
		}
		if m.Held || len(claimed.Recipients) == 0 {
			return true
		}
		claim = &event.Group{ID: id, At: time.Now().UTC().Truncate(time.Millisecond), Events: []event.Event{claimed}}
		return false
	})
	return claim
}
