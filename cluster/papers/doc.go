// Package papers is what a node keeps in its data directory about itself: the
// file "id", which says who it is and what it has of each shard, and the file
// "map", the last map of the cluster that it saw.
//
// The file "id" tells a replica that was lost from one that never was. A stage
// is durable before what it allows happens.
package papers
