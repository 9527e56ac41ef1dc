package cluster_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"quorumta/cluster"
	"quorumta/cluster/control"
)

// Members join, leave, lose power and lose their disks by a schedule that a
// seed repeats, under load. Nothing acknowledged is lost, no two nodes hold one
// office, and in the end every shard is where it should be.
func TestUpheaval(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
			tune := func(_ string, o *cluster.Options) { o.SnapshotBytes, o.TrailingBytes = 16<<10, 4<<10 }
			inTunedWorld(t, 3, 0, tune, func(w *world) { (&upheaval{world: w, rand: rand.New(rand.NewPCG(seed, 9))}).run() })
		})
	}
}

type upheaval struct {
	*world
	rand *rand.Rand
	tr   *traffic
}

func (u *upheaval) run() {
	u.leader(1)
	u.tr = u.traffic()
	for range 15 {
		u.step()
		u.tr.look()
		time.Sleep(time.Duration(u.rand.IntN(8000)) * time.Millisecond)
	}
	u.net.Heal()
	u.settle()
	u.tr.end(time.Minute, true)
	for _, s := range u.node(u.names[0]).Status() {
		if s.Stopped != "" {
			u.t.Errorf("shard %d has stopped: %s", s.ID, s.Stopped)
		}
	}
}

// settle waits until the map is as it should be, all running.
func (u *upheaval) settle() {
	want := min(3, (len(u.names)+1)/2*2-1)
	u.placed(len(u.names), want)
}

func (u *upheaval) step() {
	a, b := u.names[u.rand.IntN(len(u.names))], u.names[u.rand.IntN(len(u.names))]
	switch u.rand.IntN(8) {
	case 0, 1: // a node more
		if len(u.names) < 6 {
			u.t.Log("join")
			u.join(fmt.Sprintf("m%d", u.rand.IntN(1000)))
		}
	case 2: // one less
		if len(u.names) > 3 {
			u.t.Log("remove ", a)
			u.remove(a, false)
		}
	case 3: // a disk is lost, where every shard has three replicas
		if len(u.names) >= 3 {
			u.settle()
			u.t.Log("wipe ", a)
			u.kill(a)
			u.tr.look()
			time.Sleep(3 * time.Second)
			u.join(a)
		}
	case 4: // power is lost in one
		u.t.Log("kill ", a)
		u.kill(a)
		u.tr.look()
		time.Sleep(time.Duration(u.rand.IntN(6000)) * time.Millisecond)
		u.start(a)
	case 5: // power is lost everywhere
		u.t.Log("kill all")
		for _, name := range u.names {
			u.kill(name)
		}
		for _, name := range u.names {
			u.start(name)
		}
	case 6:
		u.t.Log("cut ", a, " ", b)
		u.net.Cut(a, b)
		time.Sleep(time.Duration(u.rand.IntN(4000)) * time.Millisecond)
		u.net.Heal()
	case 7: // the number of shards goes up and down
		u.t.Log("shards")
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := u.node(a).SetShards(ctx, len(u.names)+u.rand.IntN(2)); err != nil {
			u.t.Log(err)
		}
		_ = u.node(b).SetShards(ctx, 0)
	}
	u.one()
}

// one looks that no two nodes hold an office, and that the map is sound.
func (u *upheaval) one() {
	holders := map[control.ShardID][]string{}
	for _, name := range u.running() {
		for _, shard := range u.node(name).Shards() {
			if _, ok := u.node(name).Term(shard); ok {
				holders[shard] = append(holders[shard], name)
			}
		}
	}
	for shard, names := range holders {
		if len(names) > 1 {
			u.t.Errorf("shard %d: %v hold the office at once", shard, slices.Sorted(slices.Values(names)))
		}
	}
}
