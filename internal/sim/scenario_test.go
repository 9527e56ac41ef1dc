package sim_test

import (
	"testing"
	"testing/synctest"
	"time"

	"quorumta/cluster"
)

// inCluster runs f in a bubble with three nodes under load, all shards led.
func inCluster(t *testing.T, f func(c *Cluster, k *sink, in *load), then func(t *testing.T, v verdict)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newDiary(nil)
		defer func() {
			if t.Failed() {
				t.Logf("the end of the log:\n%s", log)
			}
		}()
		v := runLoad(t, 3, 1, log, func(c *Cluster, k *sink, in *load) {
			c.settle()
			f(c, k, in)
		})
		if !t.Failed() {
			then(t, v)
		}
	})
}

// settle waits until each node leads a shard and all have heard of it.
func (c *Cluster) settle() {
	for leaders := map[string]bool{}; len(leaders) < len(c.names); time.Sleep(time.Second) {
		clear(leaders)
		for i := range c.names {
			leaders[c.Leader(cluster.ShardID(i+1))] = true
		}
	}
	time.Sleep(2 * time.Second) // of virtual time
}

// bootTime is what a node may take from its start until it takes mail.
const bootTime = 2 * time.Second

// A planned restart costs nothing: no doubt, no second copy, and whoever is
// refused by the node that goes finds the others.
func TestRestartInGoodOrderCostsNothing(t *testing.T) {
	var from time.Time
	type gone struct{ from, until time.Time }
	away := map[string]gone{}
	inCluster(t, func(c *Cluster, _ *sink, _ *load) {
		from = time.Now()
		for _, name := range c.names {
			c.log.note("stop %s", name)
			stopped := time.Now()
			c.Stop(name)
			time.Sleep(2 * time.Second) // of virtual time
			c.log.note("start %s", name)
			c.Start(name)
			away[name] = gone{stopped, time.Now().Add(bootTime)}
			c.settle()
		}
	}, func(t *testing.T, v verdict) {
		if v.copies+v.doubts > 0 {
			t.Errorf("%d second copies, %d doubts", v.copies, v.doubts)
		}
		for _, l := range v.letters {
			a, at := away[l.node], l.at
			if !l.smtp {
				at = at.Add(l.rest) // a drain waits for sessions alone
			}
			excused := l.fate == refused && at.After(a.from) && l.at.Before(a.until)
			if l.fate != acknowledged && l.at.After(from) && !excused {
				t.Errorf("letter %s at %s, %s after it stopped: %s, %q", l.id, l.node, l.at.Sub(a.from), l.fate, l.told)
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
	}, func(t *testing.T, v verdict) {
		for _, l := range v.letters {
			if l.node != dead && l.at.After(from) && l.fate != acknowledged {
				t.Errorf("letter %s at %s, %s after it died: %s, %q", l.id, l.node, l.at.Sub(from), l.fate, l.told)
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
	}, func(t *testing.T, v verdict) {
		const takeover = 3 * time.Second
		for _, l := range v.letters {
			if l.node != dead && l.at.After(from.Add(takeover)) && (l.fate != acknowledged || l.took > time.Second) {
				t.Errorf("letter %s at %s, %s after %s died: %s after %s, %q", l.id, l.node, l.at.Sub(from), dead, l.fate, l.took, l.told)
			}
		}
	})
}
