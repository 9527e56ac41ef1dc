// Package cost says what a cluster spends on a message, node by node:
// processor time, bytes written, syncs, bytes sent between nodes, allocations;
// and what it spends when nothing happens.
package cost
