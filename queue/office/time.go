package office

import "time"

// Now is the time as the shard has it, by which it stamps entries: never before
// what it has stamped, and not moved on by a clock that cannot be trusted. What
// is due, and when it is due again, is to be decided by it.
func (o *Office) Now() time.Time { return o.stamp() }
