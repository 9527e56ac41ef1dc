// Package floor is the least that a relay with our promise can do: SMTP in,
// the content to the logs of three processes, 250 when two of the three have
// synced it, SMTP out. It has no Raft, no queue, no policy and no memory of
// what it took: what it costs nobody can do without, and every figure of the
// relay is given as a share of it.
package floor
