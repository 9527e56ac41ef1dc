package sim_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"quorumta/cluster"
	"quorumta/internal/mail"
	"quorumta/internal/sim"
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
// the other's term (hashicorp/raft#695). It is not heard any more, and what it
// was told before comes late, so it takes itself for a leader when another is
// elected; of what the other sends heartbeats come first, over a connection of
// their own, and what was decided before is proposed in that moment. All is
// quiet before, as entries of its own term would be seen to be wrong, and
// after, as a snapshot would replace what is wrong.
func TestNothingIsWrittenInAnothersTerm(t *testing.T) {
	inCluster(t, func(c *Cluster, _ *sink, in *load) {
		const rounds, enough = 12, 3
		met := 0
		for range rounds {
			in.rests.Store(true)
			time.Sleep(2 * time.Second) // of virtual time
			if c.proposeBetween(1) {
				met++
			}
			c.log.note("heal")
			c.net.Heal()
			time.Sleep(4 * time.Second) // of virtual time: it gets what was given up once
			c.log.complainOf(c.counted())
			c.log.complainOf(c.equal())
			if c.log.failed() || met == enough {
				return
			}
			in.rests.Store(false)
			time.Sleep(2 * time.Second) // of virtual time
		}
		c.log.complain("only %d of %d leaders heard of the next one in time", met, rounds)
	}, func(*diary, verdict) {})
}

// proposeBetween has the shard's leader propose entries of nothing in its
// office when it has heard of a later one by a heartbeat alone. It reports
// whether the leader took itself for one until then.
func (c *Cluster) proposeBetween(shard cluster.ShardID) bool {
	leader := c.Leader(shard)
	node := c.process(leader).node
	term, _ := node.Term(shard)
	var gone atomic.Bool
	c.log.listen(func(on, of, message string) {
		if on == leader && of == fmt.Sprint(shard) && message == "raft: failed to contact quorum of nodes, stepping down" {
			gone.Store(true)
		}
	})
	defer c.log.listen(nil)
	c.log.note("%s hears late, and is not heard", leader)
	c.net.Delay(leader, heartbeatsFirst(shard))
	time.Sleep(250 * time.Millisecond) // of virtual time: it has sent to both over both its connections
	c.net.Mute(leader)
	const tick = time.Millisecond
	for end := time.Now().Add(4 * time.Second); termOf(node, shard) <= term; time.Sleep(tick) {
		if gone.Load() || time.Now().After(end) {
			return false
		}
	}
	c.log.note("%s has heard of the next term", leader)
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	var proposing sync.WaitGroup
	for range 3 {
		proposing.Go(func() { _, _ = node.Propose(ctx, shard, term, event.Append(nil, event.Entry{Term: term})) })
	}
	proposing.Wait()
	return true
}

// termOf is the newest term of the shard that the node has heard of.
func termOf(node *cluster.Node, shard cluster.ShardID) uint64 {
	for _, s := range node.Status() {
		if s.ID == shard {
			return s.Term
		}
	}
	return 0
}

// heartbeatsFirst is how late what is sent to a shard's leader comes. Answers
// come one at a time, each before the lease of the last has ended in Raft's
// eyes: with one under way on each of four connections, the leader stays one
// for 3.4 s. Requests come when the sender has given them up, but heartbeats at
// once. Raft writes each in one piece, with the names of its fields.
func heartbeatsFirst(shard cluster.ShardID) func(sim.Sent) time.Duration {
	const apart, givenUp = 650 * time.Millisecond, 3 * time.Second
	ours := fmt.Appendf(nil, `"shard":%d,`, shard)
	next := time.Now()
	return func(s sim.Sent) time.Duration {
		greeting := bytes.Equal(s.Data, s.Opening) || len(s.Data) == 1
		switch {
		case !bytes.Contains(s.Opening, ours), greeting:
			return 0
		case s.Back:
			next = next.Add(apart)
			return time.Until(next)
		case bytes.Contains(s.Data, []byte("PrevLogEntry\x00")):
			return 0
		}
		return givenUp
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
