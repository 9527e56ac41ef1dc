// Package retry says when a deferred recipient is tried again, when it has
// been tried for long enough, and when its sender is told of the delay. It is
// pure: the time and the randomness come from the caller.
//
// A rule is for some recipients and senders, and for some errors by Exim's
// names. Its steps are as Exim has them. Their cut-offs count from the first
// failure of what failed, which is a host, a message or an address:
//
//	F 2h 15m        until 2 h: every 15 minutes
//	G 16h 1h 1.5    then until 16 h: after 1 h, 1.5 h, 2.25 h …
//	F 4d 6h         then until 4 d: every 6 hours; the next failure is final
//
// The interval depends on the time since the first failure alone, not on how
// many tries there were: neither an operator's "retry" nor a cluster that was
// down for a day stretches it. The last try falls on the last cut-off.
package retry
