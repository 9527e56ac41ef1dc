// Package backup is the file that a backup of a cluster's queue is: the states
// of its shards, each as a snapshot stream (package stream) of one moment.
//
//	header   magic 4 · version 2 · made at, ns since 1970 8 · length of cluster 2 ·
//	         cluster · CRC32C 4
//	section  'S' 1 · length of stream 8 · CRC32C 4 · stream
//	trailer  'E' 1 · number of sections 4 · SHA-256 of all before it 32
//
// Numbers are big-endian; a checksum covers what follows the one before it, or
// the stream before it. Magic and version stay where they are for ever. Nothing
// may follow the trailer.
//
// A backup is whole or refused: Verify reads it to the end before anybody
// restores from it. Shards are copied one after the other, each at an applied
// index of its own: no message lies in two shards, so that the moments need not
// agree.
package backup
