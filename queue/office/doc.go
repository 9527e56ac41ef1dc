// Package office is a node's leadership of one shard in one term: the right to
// decide what becomes of its mail. An office has groups committed through its
// lanes, claims, looks a last time before a final dot, reads content, settles
// the claims that earlier offices left behind, and sweeps.
package office
