// Package query answers what an operator asks about the messages of all
// shards: lists, counts, single messages, and the history. A shard is asked at
// its leader; where there is none in reach, this node's replica answers.
package query
