package control_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"quorumta/cluster/control"
	"quorumta/cluster/reconcile"
)

// history plays a cluster by chance: nodes join, leave, die, come back with and
// without their data; leaders move configurations as the map says.
type history struct {
	t       *testing.T
	rand    *rand.Rand
	m       control.Map
	index   uint64
	process map[string]string // incarnation of the process that runs; "" while it is down
	last    map[string]string // of the process that ran last
	config  map[control.ShardID][]reconcile.Server
	full    map[control.ShardID]bool // holds mail
	// ended is the seal since which nothing is on its way into a shard.
	ended   map[control.ShardID]uint64
	used    map[control.ShardID]bool // ids ever given
	drawn   int
	resting bool
}

func TestHistories(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
			h := &history{
				t: t, rand: rand.New(rand.NewPCG(seed, 1)), process: map[string]string{}, last: map[string]string{},
				config: map[control.ShardID][]reconcile.Server{}, full: map[control.ShardID]bool{}, ended: map[control.ShardID]uint64{}, used: map[control.ShardID]bool{},
			}
			h.found(1 + h.rand.IntN(5))
			for range 300 {
				h.happen()
				h.decide()
				h.reconcile()
			}
			h.rest()
		})
	}
}

func (h *history) found(count int) {
	var members []control.Member
	for i := range count {
		members = append(members, h.newcomer(fmt.Sprintf("n%d", i+1)))
		h.boot(members[i])
	}
	first := control.Found(members, []int{0, 3, 5}[h.rand.IntN(3)], h.rand.IntN(3))
	h.apply([]control.Event{{Kind: control.Founded, Map: &first}})
}

func (h *history) newcomer(name string) control.Member {
	h.drawn++
	return control.Member{Name: name, Incarnation: fmt.Sprint("i", h.drawn), Address: name + ":1"}
}

func (h *history) boot(x control.Member) {
	h.process[x.Name], h.last[x.Name] = x.Incarnation, x.Incarnation
}

func (h *history) alive(name string) bool {
	x, ok := h.m.Member(name)
	return ok && h.process[name] == x.Incarnation
}

func (h *history) live(id string) bool {
	return h.process[control.NameOf(id)] != "" && id == control.NameOf(id)+"/"+h.process[control.NameOf(id)]
}

// happen does one thing to the cluster.
func (h *history) happen() {
	name := fmt.Sprintf("n%d", 1+h.rand.IntN(7))
	switch h.rand.IntN(14) {
	case 0, 1: // a node joins, with an empty directory
		x := h.newcomer(name)
		if events, err := h.m.Join(x, h.alive); err == nil {
			h.apply(events)
			h.boot(x)
		}
	case 2:
		if events, err := h.m.Remove(name, h.rand.IntN(2) == 0, h.alive); err == nil {
			h.apply(events)
		}
	case 3, 4: // it dies, where a majority of each group stays
		was := h.process[name]
		h.process[name] = ""
		for id := range h.config {
			if was != "" && !h.quorate(id) {
				h.process[name] = was
			}
		}
	case 5, 6, 7:
		if x, ok := h.m.Member(name); ok && h.last[name] == x.Incarnation {
			h.process[name] = x.Incarnation
		}
	case 8:
		events, err := h.m.Count(h.rand.IntN(7))
		if err != nil {
			h.t.Fatal(err)
		}
		h.apply(events)
	default:
		for id := range h.config {
			s, ok := h.m.Shard(id)
			h.full[id] = ok && (s.Sealed == 0 || h.ended[id] != s.Sealed) && h.rand.IntN(3) == 0
		}
	}
}

// quorate reports whether a majority of the group's voters lives.
func (h *history) quorate(id control.ShardID) bool {
	live := 0
	v := voters(h.config[id])
	for _, id := range v {
		if h.live(id) {
			live++
		}
	}
	return 2*live > len(v)
}

func (h *history) facts() control.Facts {
	f := control.Facts{
		Alive:  h.alive,
		Serves: func(string) bool { return !h.resting && h.rand.IntN(2) == 0 },
		Groups: map[control.ShardID]control.Report{},
	}
	for id, servers := range h.config {
		if h.quorate(id) && h.rand.IntN(8) > 0 {
			r := control.Report{Voters: voters(servers), Settled: h.rand.IntN(8) > 0, Empty: !h.full[id], Seen: h.m.Version}
			if s, _ := h.m.Shard(id); !h.full[id] && h.rand.IntN(3) == 0 {
				h.ended[id] = s.Sealed
			}
			if !h.full[id] {
				r.Ended = h.ended[id]
			}
			for _, s := range servers {
				if !s.Voter {
					r.Others = append(r.Others, s.ID)
				}
			}
			f.Groups[id] = r
		}
	}
	return f
}

// decide has the control leader decide, and what it decided folded.
func (h *history) decide() {
	if len(h.m.Members) > 0 {
		h.apply(control.Next(h.m, h.facts()))
	}
}

// apply folds events through the encoding, and finds the map sound.
func (h *history) apply(events []control.Event) {
	h.t.Helper()
	if len(events) == 0 {
		return
	}
	h.index += uint64(1 + h.rand.IntN(3))
	entry, err := control.Change{Base: h.m.Version, Time: time.Unix(int64(h.index), 0), Events: events}.Encode()
	if err != nil {
		h.t.Fatal(err)
	}
	change, err := control.DecodeChange(entry)
	if err != nil {
		h.t.Fatal(err)
	}
	if _, err := h.m.Apply(h.index, control.Change{Base: h.m.Version + 1, Events: events}); !errors.Is(err, control.ErrStale) {
		h.t.Fatalf("decided on another map, and folded: %v", err)
	}
	before := h.m
	after, err := before.Apply(h.index, change)
	if err != nil {
		h.t.Fatalf("%s: %v", entry, err)
	}
	again, err := control.DecodeMap(after.Encode())
	if err != nil || string(again.Encode()) != string(after.Encode()) {
		h.t.Fatalf("the map does not survive its encoding: %v", err)
	}
	h.m = again
	for _, s := range h.m.Groups() {
		h.check(before, s)
	}
	for id := range h.config {
		if _, ok := h.m.Shard(id); !ok {
			if h.full[id] {
				h.t.Fatalf("shard %d was closed with mail in it", id)
			}
			delete(h.config, id)
		}
	}
}

func (h *history) check(before control.Map, s control.Shard) {
	if _, had := before.Shard(s.ID); !had {
		if h.used[s.ID] {
			h.t.Fatalf("the id %d was used again", s.ID)
		}
		h.used[s.ID] = true
		for _, id := range s.Founders {
			h.config[s.ID] = append(h.config[s.ID], reconcile.Server{ID: id, Voter: true})
		}
		return
	}
	now := voters(h.config[s.ID])
	if gained, lost := minus(s.Replicas, now), minus(now, s.Replicas); len(gained) > 1 || len(lost) > 1 {
		old, _ := before.Shard(s.ID)
		h.t.Fatalf("shard %d: from the voters %v to %v at once; the map had %v", s.ID, now, s.Replicas, old.Replicas)
	}
	if len(s.Replicas) == 0 {
		h.t.Fatalf("shard %d has no replica", s.ID)
	}
}

// reconcile has leaders change configurations.
func (h *history) reconcile() {
	for _, id := range slices.Sorted(maps.Keys(h.config)) {
		s, _ := h.m.Shard(id)
		v := slices.DeleteFunc(voters(h.config[id]), func(id string) bool { return !h.live(id) })
		if !h.quorate(id) || len(v) == 0 || h.rand.IntN(4) == 0 {
			continue
		}
		self := v[h.rand.IntN(len(v))] // the lead may be anywhere, and goes where it is sent
		step := reconcile.Next(h.config[id], s.Replicas, reconcile.Facts{
			Self: self, Live: h.live, CaughtUp: func(id string) bool { return h.live(id) && h.rand.IntN(2) == 0 },
			Lost: func(string) bool { return false },
		})
		h.config[id] = after(h.config[id], step)
		if !h.quorate(id) {
			h.t.Fatalf("shard %d: %+v leaves %+v without a live majority", id, step, h.config[id])
		}
	}
}

// after is the configuration after the step.
func after(servers []reconcile.Server, step reconcile.Step) []reconcile.Server {
	servers = slices.Clone(servers)
	i := slices.IndexFunc(servers, func(s reconcile.Server) bool { return s.ID == step.ID })
	switch step.Action {
	case reconcile.AddNonvoter:
		return append(servers, reconcile.Server{ID: step.ID})
	case reconcile.AddVoter:
		servers[i].Voter = true
	case reconcile.Remove:
		return slices.Delete(servers, i, i+1)
	}
	return servers
}

// rest lets everything come to its end, all alive, and looks at what has come.
func (h *history) rest() {
	for _, x := range h.m.Members {
		h.boot(x)
	}
	clear(h.full)
	h.resting = true
	for range 400 {
		h.decide()
		h.reconcile()
	}
	if h.t.Failed() || testing.Verbose() {
		h.t.Logf("%+v\nprocesses %v\nconfigurations %+v\nfacts %+v", h.m, h.process, h.config, h.facts().Groups)
	}
	want := h.m.WantShards
	if want == 0 {
		want = len(h.m.Members)
	}
	if len(h.m.Shards) != want {
		h.t.Errorf("%d shards, want %d: %+v", len(h.m.Shards), want, h.m.Shards)
	}
	load, leads := map[string]int{}, map[string]int{}
	for _, s := range h.m.Shards {
		if !slices.Equal(voters(h.config[s.ID]), s.Replicas) || len(h.config[s.ID]) != len(s.Replicas) {
			h.t.Errorf("shard %d: the map says %v, and it has %+v", s.ID, s.Replicas, h.config[s.ID])
		}
		if n := len(s.Replicas); n != 2 && n != min((h.m.Replication+1)/2*2-1, (len(h.m.Members)+1)/2*2-1) {
			h.t.Errorf("shard %d has %d replicas on %d members", s.ID, n, len(h.m.Members))
		}
		for _, id := range s.Replicas {
			load[control.NameOf(id)]++
		}
	}
	for _, name := range h.m.Leads() {
		leads[name]++
	}
	for _, x := range h.m.Members {
		if x.Leaving {
			h.t.Errorf("%s has not left", x.Name)
		}
	}
	if len(h.m.Leads()) != len(h.m.Shards) {
		h.t.Errorf("leads %v of %d shards", h.m.Leads(), len(h.m.Shards))
	}
	for what, count := range map[string]map[string]int{"replicas": load, "leads": leads} {
		most, least := 0, 1<<30
		for _, x := range h.m.Members {
			most, least = max(most, count[x.Name]), min(least, count[x.Name])
		}
		if most-least > 1 {
			h.t.Errorf("%s are uneven: %v in %+v", what, count, h.m.Shards)
		}
	}
}

func voters(servers []reconcile.Server) (ids []string) {
	for _, s := range servers {
		if s.Voter {
			ids = append(ids, s.ID)
		}
	}
	return slices.Sorted(slices.Values(ids))
}

func minus(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(x string) bool { return slices.Contains(b, x) })
}
