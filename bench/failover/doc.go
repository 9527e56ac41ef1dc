// Package failover draws a node's death second by second: how many messages
// clients had acknowledged in each second and how long they waited, before it,
// through it, and while the node comes back.
package failover
