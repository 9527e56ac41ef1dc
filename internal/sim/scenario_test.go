package sim_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"quorumta/cluster"
)

// inCluster runs f in a bubble with three nodes under load, all shards led.
func inCluster(t *testing.T, f func(c *Cluster, k *sink, in *load), then func(log *diary, v verdict)) {
	t.Parallel()
	log := newDiary(t)
	synctest.Test(t, func(t *testing.T) {
		log.begin()
		defer log.report(t)
		v := runLoad(t, 3, 1, log, func(c *Cluster, k *sink, in *load) {
			c.settle()
			f(c, k, in)
		})
		if !log.failed() {
			then(log, v)
		}
	})
}

// settle has each node lead a shard, and waits until all have heard of it.
func (c *Cluster) settle() {
	for i, name := range c.names {
		for shard := cluster.ShardID(i + 1); c.Leader(shard) != name; time.Sleep(500 * time.Millisecond) {
			_ = c.lead(shard, name) // it is not fit yet: it has just started
		}
	}
	time.Sleep(2 * time.Second) // of virtual time
}

// lead hands the shard's lead to the node.
func (c *Cluster) lead(shard cluster.ShardID, name string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c.log.note("move shard %d to %s", shard, name)
	return c.process(name).node.Transfer(ctx, shard, name)
}

// bootTime is what a node may take from its start until it takes mail.
const bootTime = 2 * time.Second

// A planned restart costs nothing: no doubt, no second copy, and whoever is
// refused by the node that goes finds the others.
func TestRestartInGoodOrderCostsNothing(t *testing.T) {
	type absence struct{ from, until time.Time }
	away := map[string]absence{}
	var from time.Time
	inCluster(t, func(c *Cluster, _ *sink, _ *load) {
		from = time.Now()
		for _, name := range c.names {
			c.log.note("stop %s", name)
			stopped := time.Now()
			c.Stop(name)
			c.log.note("%s has stopped", name)
			time.Sleep(2 * time.Second) // of virtual time
			c.log.note("start %s", name)
			c.Start(name)
			away[name] = absence{stopped, time.Now().Add(bootTime)}
			time.Sleep(bootTime + 3*time.Second) // of virtual time
		}
	}, func(log *diary, v verdict) {
		if v.copies > 0 || len(v.doubts) > 0 {
			log.complain("%d second copies, in doubt were %v", v.copies, v.doubts)
		}
		for _, l := range v.letters {
			a := away[l.node]
			excused := l.fate == refused && !l.at.Before(a.from) && l.at.Before(a.until)
			if l.fate != acknowledged && !l.at.Before(from) && !excused {
				log.complain("letter %s on %s at %s, %s after it stopped: %s, %q", l.id, l.node, log.clock(l.at), l.at.Sub(a.from), l.fate, l.told)
			}
		}
	})
}

// A planned move of a lead costs nothing at all.
func TestMovesOfLeadsCostNothing(t *testing.T) {
	var from time.Time
	inCluster(t, func(c *Cluster, _ *sink, _ *load) {
		from = time.Now()
		for i := range 12 {
			shard, to := cluster.ShardID(1+i%3), c.names[(i+i/3+1)%3]
			if err := c.lead(shard, to); err != nil {
				c.log.complain("move shard %d to %s: %v", shard, to, err)
			}
			time.Sleep(time.Second) // of virtual time
		}
	}, func(log *diary, v verdict) {
		if v.copies > 0 || len(v.doubts) > 0 {
			log.complain("%d second copies, in doubt were %v", v.copies, v.doubts)
		}
		for _, l := range v.letters {
			if l.fate != acknowledged && !l.at.Before(from) {
				log.complain("letter %s on %s at %s: %s, %q", l.id, l.node, log.clock(l.at), l.fate, l.told)
			}
		}
	})
}

// When one node dies the others go on without a refusal.
func TestTheOthersGoOnWhenANodeDies(t *testing.T) {
	var from time.Time
	dead := ""
	inCluster(t, func(c *Cluster, _ *sink, _ *load) {
		dead = c.Leader(1)
		from = time.Now()
		c.PowerLoss(dead, 0)
		time.Sleep(10 * time.Second) // of virtual time
	}, func(log *diary, v verdict) {
		for _, l := range v.letters {
			if l.node != dead && l.at.After(from) && l.fate != acknowledged {
				log.complain("letter %s on %s at %s, %s after it died: %s, %q", l.id, l.node, log.clock(l.at), l.at.Sub(from), l.fate, l.told)
			}
		}
	})
}

// A node that was away for long counts as soon as it is back: another one may
// die three seconds later.
func TestANodeThatIsBackCounts(t *testing.T) {
	var from time.Time
	dead := ""
	inCluster(t, func(c *Cluster, _ *sink, _ *load) {
		c.Crash("n1")
		time.Sleep(32 * time.Second) // of virtual time
		c.Start("n1")
		time.Sleep(3 * time.Second)
		dead = "n2"
		from = time.Now()
		c.Crash(dead)
		time.Sleep(20 * time.Second)
	}, func(log *diary, v verdict) {
		const takeover = 3 * time.Second
		for _, l := range v.letters {
			if l.node != dead && l.at.After(from.Add(takeover)) && (l.fate != acknowledged || l.took > time.Second) {
				log.complain("letter %s on %s at %s, %s after %s died: %s after %s, %q", l.id, l.node, log.clock(l.at), l.at.Sub(from), dead, l.fate, l.took, l.told)
			}
		}
	})
}
