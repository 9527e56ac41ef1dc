package control

import (
	"maps"
	"slices"
)

// Leads is which member should lead each shard: one of its replicas, and as
// evenly as they allow. Equal maps give equal answers.
func (m Map) Leads() map[ShardID]string {
	leads := map[ShardID]string{}
	count := map[string]int{}
	names := m.leaders()
	for _, s := range m.Shards {
		if may := names[s.ID]; len(may) > 0 {
			// Equally loaded ones take turns.
			turn := int(s.ID-1) % len(m.Members)
			slices.SortStableFunc(may, func(a, b string) int {
				if d := count[a] - count[b]; d != 0 {
					return d
				}
				return m.after(a, turn) - m.after(b, turn)
			})
			leads[s.ID] = may[0]
			count[may[0]]++
		}
	}
	for m.spread(leads, count, names) {
	}
	return leads
}

// leaders are the members that may lead each shard.
func (m Map) leaders() map[ShardID][]string {
	names := map[ShardID][]string{}
	for _, s := range m.Shards {
		for _, id := range s.Replicas {
			if x, ok := m.Member(NameOf(id)); ok && x.RaftID() == id && !x.Leaving {
				names[s.ID] = append(names[s.ID], x.Name)
			}
		}
	}
	return names
}

// after is the member's place in the order of names that begins at turn.
func (m Map) after(name string, turn int) int {
	i := slices.IndexFunc(m.Members, func(x Member) bool { return x.Name == name })
	return (i - turn + len(m.Members)) % len(m.Members)
}

// spread moves leads along a chain of members, from one with the most to one
// that has at least two fewer; it reports whether there was one.
func (m Map) spread(leads map[ShardID]string, count map[string]int, names map[ShardID][]string) bool {
	if len(count) == 0 {
		return false
	}
	from := slices.MaxFunc(slices.Sorted(maps.Keys(count)), func(a, b string) int { return count[a] - count[b] })
	type arrival struct {
		by   ShardID // the shard that would move
		from string
	}
	reached := map[string]arrival{from: {}}
	for queue := []string{from}; len(queue) > 0; queue = queue[1:] {
		at := queue[0]
		if count[at] <= count[from]-2 {
			count[at]++
			for ; at != from; at = reached[at].from {
				leads[reached[at].by] = at
			}
			count[from]--
			return true
		}
		for _, s := range m.Shards {
			if leads[s.ID] != at {
				continue
			}
			for _, name := range names[s.ID] {
				if _, seen := reached[name]; !seen {
					reached[name] = arrival{s.ID, at}
					queue = append(queue, name)
				}
			}
		}
	}
	return false
}
