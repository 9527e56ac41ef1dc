package control

import (
	"cmp"
	"slices"
)

// Facts are what the control leader has seen.
type Facts struct {
	// Alive: the member answers, and is of the incarnation that the map names.
	Alive func(name string) bool
	// Serves: the member answers, and said that it may still take mail.
	Serves func(name string) bool
	// Groups are what the leaders of groups, 0 included, said of them.
	Groups map[ShardID]Report
}

// Report is what the leader of a group said of it.
type Report struct {
	// Voters and Others are the Raft ids in its configuration; Settled: it is
	// committed.
	Voters, Others []string
	Settled        bool
	// Empty: the shard is retiring and holds nothing. Seen is the version of
	// the map that the leader knew when it looked.
	Empty bool
	Seen  uint64
	// Ended is the version that sealed the shard, where the leader has found it
	// empty after every replica had ended what it proposed before the seal.
	Ended uint64
}

// Next is what should happen now: a member that has nothing any more is
// dropped, shards are opened, retired and closed, and replicas move, one of a
// group at a time.
func Next(m Map, f Facts) []Event {
	p := &plan{m: m.clone(), Facts: f}
	p.settleLevel()
	p.dropMembers()
	p.countShards()
	p.closeShards()
	p.place()
	return p.events
}

// plan is a map while it is being changed by events.
type plan struct {
	Facts
	m      Map
	events []Event
}

func (p *plan) do(e Event) {
	if p.m.fold(e, p.m.Version+1) == nil {
		p.events = append(p.events, e)
	}
}

// settleLevel decides on the first level of a new cluster when all its founders
// have said what they know.
func (p *plan) settleLevel() {
	if least := leastLevel(p.m.Members); p.m.Level == 0 && least > 0 {
		p.do(Event{Kind: Upgraded, Count: least})
	}
}

// dropMembers drops who is leaving, is replica of nothing any more and has
// ended what its clients had under way.
func (p *plan) dropMembers() {
	for _, x := range slices.Clone(p.m.Members) {
		if x.Leaving && !p.holds(x.Name) && !p.Serves(x.Name) {
			p.do(Event{Kind: Left, Name: x.Name})
		}
	}
}

// holds reports whether any incarnation of the member is, or may be, replica of
// a group.
func (p *plan) holds(name string) bool {
	named := func(id string) bool { return NameOf(id) == name }
	for _, s := range p.m.Groups() {
		r, known := p.Groups[s.ID]
		if !known || !r.Settled || slices.ContainsFunc(s.Replicas, named) ||
			slices.ContainsFunc(r.Voters, named) || slices.ContainsFunc(r.Others, named) {
			return true
		}
	}
	return false
}

// staying are the members that do not leave; alive are those that answer.
func (p *plan) staying() (all, alive []Member) {
	for _, x := range p.m.Members {
		if x.Leaving {
			continue
		}
		all = append(all, x)
		if p.Alive(x.Name) {
			alive = append(alive, x)
		}
	}
	return all, alive
}

// countShards brings the number of shards that take mail to what is wanted.
// Without a number it follows the members: up when they are alive, down when
// they leave.
func (p *plan) countShards() {
	all, alive := p.staying()
	most, least := p.m.WantShards, p.m.WantShards
	if p.m.WantShards == 0 {
		most, least = max(len(all), 1), max(len(alive), 1)
	}
	taking := 0
	for _, s := range p.m.Shards {
		if !s.Retiring {
			taking++
		}
	}
	for i := len(p.m.Shards) - 1; i >= 0 && taking > most; i-- {
		if s := p.m.Shards[i]; !s.Retiring {
			p.do(Event{Kind: Retired, Shard: s.ID})
			taking--
		}
	}
	for i := 0; i < len(p.m.Shards) && taking < least; i++ {
		if s := p.m.Shards[i]; s.Retiring {
			p.do(Event{Kind: Revived, Shard: s.ID})
			taking++
		}
	}
	n := factor(p.m.Replication, len(all), 0)
	for ; taking < least && len(alive) >= n && p.m.Next <= LastShard; taking++ {
		load := p.load()
		slices.SortStableFunc(alive, func(a, b Member) int { return load[a.Name] - load[b.Name] })
		var ids []string
		for _, x := range alive[:n] {
			ids = append(ids, x.RaftID())
		}
		p.do(Event{Kind: Opened, Shard: p.m.Next, Replicas: slices.Sorted(slices.Values(ids))})
	}
}

// load is how many replicas of shards each member has.
func (p *plan) load() map[string]int {
	load := map[string]int{}
	for _, s := range p.m.Shards {
		for _, id := range s.Replicas {
			load[NameOf(id)]++
		}
	}
	return load
}

// closeShards ends shards that hold nothing any more. One is sealed first: when
// every replica knows that nothing may be proposed, nothing proposed before is
// still on its way, and the leader finds it empty after that, nothing can come
// in any more.
func (p *plan) closeShards() {
	for _, s := range slices.Clone(p.m.Shards) {
		r, known := p.Groups[s.ID]
		if !s.Retiring || !known {
			continue
		}
		switch {
		case s.Sealed == 0 && r.Empty:
			p.do(Event{Kind: Sealed, Shard: s.ID})
		case s.Sealed == 0 || r.Seen < s.Sealed:
		case !r.Empty:
			p.do(Event{Kind: Unsealed, Shard: s.ID})
		case r.Settled && r.Ended == s.Sealed:
			p.do(Event{Kind: Closed, Shard: s.ID})
		}
	}
}

// place moves replicas to where they should be. Evenness comes last, one
// replica of the whole cluster at a time.
func (p *plan) place() {
	resting := true
	for _, s := range p.m.Groups() {
		if s.Sealed != 0 {
			continue
		}
		r, known := p.Groups[s.ID]
		if !known || !r.Settled || p.awaits(s, r) {
			resting = false
			continue
		}
		to := p.step(s, r)
		if same(to, s.Replicas) {
			resting = resting && same(to, r.Voters) && len(r.Others) == 0
			continue
		}
		resting = false
		p.do(Event{Kind: Assigned, Shard: s.ID, Replicas: to})
	}
	if resting {
		p.even()
	}
}

// awaits reports whether the group waits for a newcomer that can still come.
func (p *plan) awaits(s Shard, r Report) bool {
	return slices.ContainsFunc(s.Replicas, func(id string) bool {
		return !slices.Contains(r.Voters, id) && p.stays(id) && p.Alive(NameOf(id))
	})
}

// stays reports whether the Raft id is of a member that does not leave.
func (p *plan) stays(id string) bool {
	x, ok := p.m.Member(NameOf(id))
	return ok && x.RaftID() == id && !x.Leaving
}

// step is the set of replicas that a group should come to next, from the voters
// it has: one fewer, one more, one exchanged, or the same.
func (p *plan) step(s Shard, r Report) []string {
	most := p.m.Replication
	if s.ID == 0 {
		most = controlReplicas
	}
	all, _ := p.staying()
	// Who must go: the dead first, for what they did to the majority.
	var going []string
	for _, id := range r.Voters {
		if !p.stays(id) {
			going = append(going, id)
		}
	}
	slices.SortStableFunc(going, func(a, b string) int { return p.lives(a) - p.lives(b) })
	n := factor(most, len(all), len(r.Voters)-len(going))
	switch {
	case len(r.Voters) > n && p.onItsWay(s, r, going):
		return s.Replicas
	case len(going) > 0 && len(r.Voters) > n:
		return without(r.Voters, going[0])
	case len(going) > 0:
		if to := p.newcomer(r.Voters, NameOf(going[0])); to != "" {
			return with(without(r.Voters, going[0]), to)
		}
	case len(r.Voters) < n:
		if to := p.newcomer(r.Voters, ""); to != "" {
			return with(r.Voters, to)
		}
	case len(r.Voters) > n:
		load := p.load()
		return without(r.Voters, slices.MaxFunc(r.Voters, func(a, b string) int {
			return cmp.Or(p.lives(b)-p.lives(a), load[NameOf(a)]-load[NameOf(b)])
		}))
	}
	return r.Voters
}

// onItsWay reports whether the group is already losing a voter that must go, or
// one of too many, and no dead one waits for that.
func (p *plan) onItsWay(s Shard, r Report, going []string) bool {
	for _, id := range r.Voters {
		if same(s.Replicas, without(r.Voters, id)) {
			return (len(going) == 0 || slices.Contains(going, id)) &&
				(p.lives(id) == 0 || !slices.ContainsFunc(r.Voters, func(v string) bool { return p.lives(v) == 0 }))
		}
	}
	return false
}

// lives is 1 for the Raft id of a live member, and 0 otherwise.
func (p *plan) lives(id string) int {
	if p.m.Current(id) && p.Alive(NameOf(id)) {
		return 1
	}
	return 0
}

// newcomer is the Raft id of the live member that should get a replica: the
// one of that name, or the one with the fewest; "" if there is none.
func (p *plan) newcomer(voters []string, name string) string {
	_, alive := p.staying()
	load := p.load()
	best := ""
	for _, x := range alive {
		if slices.Contains(voters, x.RaftID()) {
			continue
		}
		if x.Name == name {
			return x.RaftID()
		}
		if best == "" || load[x.Name] < load[NameOf(best)] {
			best = x.RaftID()
		}
	}
	return best
}

// even moves one replica from the member with the most to one with at least two
// fewer.
func (p *plan) even() {
	load := p.load()
	_, alive := p.staying()
	var from, to string
	var of Shard
	for _, s := range p.m.Shards {
		for _, id := range s.Replicas {
			for _, x := range alive {
				gain := load[NameOf(id)] - load[x.Name]
				if gain < 2 || s.Sealed != 0 || slices.Contains(s.Replicas, x.RaftID()) {
					continue
				}
				if from == "" || gain > load[NameOf(from)]-load[NameOf(to)] {
					from, to, of = id, x.RaftID(), s
				}
			}
		}
	}
	if from != "" {
		p.do(Event{Kind: Assigned, Shard: of.ID, Replicas: with(without(of.Replicas, from), to)})
	}
}

// same compares two sets of Raft ids.
func same(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

func with(ids []string, id string) []string {
	return slices.Sorted(slices.Values(append(slices.Clone(ids), id)))
}

func without(ids []string, id string) []string {
	return slices.DeleteFunc(slices.Sorted(slices.Values(ids)), func(x string) bool { return x == id })
}
