// Package depth measures relays that hold a queue: whether new mail is taken
// and relayed as fast beside a million queued messages as beside none, and how
// soon a relay that was killed with a full queue is at work again.
package depth
