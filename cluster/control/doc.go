// Package control is the cluster's map: which members there are, which shards,
// and which members replicate each. The control group, Raft group 0, folds
// Changes into it; its leader alone decides them.
//
// The package is pure. Apply folds a change; the functions that return events
// decide, from a map and from what the caller has seen. A change names the map
// version it was decided on and is refused as a whole when the map has moved
// on, so that a decision is never folded into a map it does not fit.
//
// What always holds: shard ids are never reused; from one map to the next a
// shard gains at most one replica and loses at most one, counted from the
// voters that its leader has reported; a shard that is gone had been reported
// empty by a leader that takes nothing any more.
package control
