package event

// kinds are name and maker of every kind, by number.
var kinds = [...]struct {
	name string
	make func() Event
}{
	KindBodyPart:  {"body_part", func() Event { return new(BodyPart) }},
	KindAccepted:  {"accepted", func() Event { return new(Accepted) }},
	KindAbandoned: {"abandoned", func() Event { return new(Abandoned) }},
	KindClaimed:   {"claimed", func() Event { return new(Claimed) }},
	KindReturned:  {"returned", func() Event { return new(Returned) }},
	KindDoubted:   {"in_doubt", func() Event { return new(Doubted) }},
	KindDelivered: {"delivered", func() Event { return new(Delivered) }},
	KindDeferred:  {"deferred", func() Event { return new(Deferred) }},
	KindFailed:    {"failed", func() Event { return new(Failed) }},
	KindExpired:   {"expired", func() Event { return new(Expired) }},
	KindWarned:    {"warned", func() Event { return new(Warned) }},
	KindExpanded:  {"expanded", func() Event { return new(Expanded) }},
	KindHeld:      {"held", func() Event { return new(Held) }},
	KindReleased:  {"released", func() Event { return new(Released) }},
	KindRemoved:   {"removed", func() Event { return new(Removed) }},
	KindRerouted:  {"rerouted", func() Event { return new(Rerouted) }},
	KindBounced:   {"bounced", func() Event { return new(Bounced) }},
	KindPruned:    {"pruned", func() Event { return new(Pruned) }},
	KindSwept:     {"swept", func() Event { return new(Swept) }},
	KindRetried:   {"retried", func() Event { return new(Retried) }},
	KindRenewed:   {"renewed", func() Event { return new(Renewed) }},
	KindSuspended: {"suspended", func() Event { return new(Suspended) }},
	KindResumed:   {"resumed", func() Event { return new(Resumed) }},
	KindNoted:     {"noted", func() Event { return new(Noted) }},
	KindUnnoted:   {"unnoted", func() Event { return new(Unnoted) }},
	KindEdited:    {"edited", func() Event { return new(Edited) }},
}

// String is the kind's name as operators see it: "accepted", "in_doubt".
func (k Kind) String() string {
	if int(k) < len(kinds) && kinds[k].make != nil {
		return kinds[k].name
	}
	return "unknown"
}

// Newest is the newest level of the format that this program knows. A level is
// a set of kinds: a member of a lower one stops at events of a higher one, so
// these are proposed only once every member has reported to know them and the
// upgrade was finished. Level 1 is what was first released.
const Newest = 3

// Level is the level of the format that the kind belongs to.
func (k Kind) Level() int {
	switch {
	case k == KindExpanded:
		return 3 // as it is now; none was proposed before
	case k >= KindNoted:
		return 3
	case k >= KindSuspended:
		return 2
	}
	return 1
}

// LevelOf is the level of the format that an event needs: that of its kind, or
// of fields that it has and older programs do not know.
func LevelOf(e Event) int {
	if a, ok := e.(*Accepted); ok && (a.Envelope.RequireTLS || a.Envelope.TLSOptional || a.Envelope.Priority != 0) {
		return max(3, a.Kind().Level())
	}
	if r, ok := e.(*Rerouted); ok && r.Why != "" {
		return 3
	}
	return e.Kind().Level()
}
