package retry

import "quorumta/queue/event"

// Class is what an error speaks of. Each has a memory of its own: that of a host
// makes all mail for it wait, that of a message this one alone, that of an
// address all messages to it.
type Class uint8

// The classes, as Exim has them.
const (
	// Host: it could not be reached, did not greet, or went away before the
	// final dot.
	Host Class = iota + 1
	// Message: 4yz to MAIL, DATA or the dot.
	Message
	// Address: 4yz to RCPT, no route, no room in the mailbox.
	Address
	// Ours: a fault of our own.
	Ours
)

// ClassOf is the class of a kind of error; 0 for none.
func ClassOf(kind event.ErrorKind) Class {
	switch kind {
	case event.ErrorNone:
		return 0
	case event.ErrorSender, event.ErrorContent:
		return Message
	case event.ErrorRouting, event.ErrorRecipient, event.ErrorQuota:
		return Address
	case event.ErrorInternal:
		return Ours
	}
	return Host
}
