// Package notes keeps small replicated facts with an end, for all nodes of a
// cluster: what an operator has suspended, what was learnt about a site, a
// policy that was fetched.
//
// A note lives in its key's home, a shard chosen by hash. Every node knows all
// notes: those of shards that it has a replica of as they are folded, the
// others by asking every second. So reading asks nobody and never waits.
//
// A note whose home has no leader in reach counts at once at the node that
// wrote it, which records it when there is one again; who needs to know gets
// an error that says so. Where two nodes write the same key while there is
// none, the one whose record comes first gives way to the other.
package notes
