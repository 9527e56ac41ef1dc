// Package intake takes messages into the queue: it streams their content to a
// shard while it arrives, has them accepted there, and turns to another shard
// as long as nothing of them counts on the first one.
//
// Words: placement (an upload's place on one shard, under one id), part (a
// piece of content too large for one entry), spool (what was written, kept
// until the message is acknowledged).
package intake
