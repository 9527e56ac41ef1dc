// Package queue is the replicated mail queue: what smtp submits to, what
// delivery claims from and resolves into, and what an operator asks and acts
// on. It knows the shards and finds their leaders; smtp and delivery do not.
//
// A Queue hosts the machines of its node's shards. What happens is decided by
// a shard's leader, as groups of events that go into its log through lanes;
// what another node has to have decided is forwarded to it. While this node
// leads a shard it has an Office there.
//
// What holds:
//   - A message is at one shard, under one id. It turns to another only while
//     it is certain that nothing of it counts at the first (PROTOCOL 19).
//   - A final dot follows only a claim that is committed and current, under a
//     lease that runs, and is known to this process's table of attempts, which
//     answers a new leader (PROTOCOL 25, 33).
//   - An outcome, once learnt, is reported to whoever leads, by whoever learnt
//     it, until it is on record.
//   - What a client was told 451 about is not sent by this process.
package queue
