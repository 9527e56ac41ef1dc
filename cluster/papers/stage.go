package papers

import (
	"maps"
	"slices"
)

// Stage is what the node has of a shard.
type Stage string

const (
	// None: never anything.
	None Stage = ""
	// Founding: the node writes the shard's first configuration.
	Founding Stage = "founding"
	// Blank: the shard was given to the node, which has nothing of it yet.
	Blank Stage = "blank"
	// Held: the node has a replica; if nothing is found of it, it was lost.
	Held Stage = "held"
	// Wrong: the node has a replica that a majority of the others disagreed with.
	// It is not opened any more.
	Wrong Stage = "wrong"
	// Damaged: the node has a replica that cannot be read. It is deleted when the
	// shard's configuration is without it, and made anew.
	Damaged Stage = "damaged"
	// Dropping: the shard went elsewhere, and what is left of it is deleted.
	Dropping Stage = "dropping"
	// Gone: the node had a replica once. It founds it no more.
	Gone Stage = "gone"
)

// Stage is what the node has of a shard.
func (p *Papers) Stage(shard uint16) Stage {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.id.Replicas[shard]
}

// Replicas are the shards of which the node has or may have something,
// ascending.
func (p *Papers) Replicas() []uint16 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.DeleteFunc(slices.Sorted(maps.Keys(p.id.Replicas)), func(shard uint16) bool {
		return p.id.Replicas[shard] == Gone
	})
}

// Set notes a stage; it is durable when Set returns nil.
func (p *Papers) Set(stage Stage, shards ...uint16) error {
	return p.change(func(id *record) bool {
		was := maps.Clone(id.Replicas)
		for _, shard := range shards {
			id.Replicas[shard] = stage
		}
		return !maps.Equal(was, id.Replicas)
	})
}
