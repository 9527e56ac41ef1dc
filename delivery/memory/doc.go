// Package memory is what the nodes of a cluster know of hosts and addresses that
// fail: since when, why, and when they are tried again. All mail for a host that
// is known to be bad waits for it, whatever node delivers it, and the first
// success of any node ends that.
//
// It is soft state (PROTOCOL 35). Each node tells the others what it has learnt,
// and asks them for all they know when it starts. Nothing depends on it but when
// something is tried: what is lost is learnt again, by one failure more.
package memory
