package mail

// Envelope is what SMTP says about a message beside its content (RFC 5321,
// section 2.3.1) with the sender's wishes of RFC 3461 (DSN), RFC 6152
// (8BITMIME) and RFC 6531 (SMTPUTF8).
type Envelope struct {
	// From is the reverse-path; the zero Address is the null reverse-path.
	From Address
	// Recipients are the forward-paths in the order they were given. An
	// event names a recipient by its index here.
	Recipients []Recipient
	// Return is RET of RFC 3461, section 4.3: what a failure report returns.
	Return Return
	// EnvID is ENVID of RFC 3461, section 4.4, decoded from xtext; "" if absent.
	EnvID string
	// EightBit: the client announced BODY=8BITMIME.
	EightBit bool
	// UTF8: the client announced SMTPUTF8.
	UTF8 bool
	// RequireTLS: the client demanded REQUIRETLS (RFC 8689, section 2).
	RequireTLS bool
	// TLSOptional: the header says TLS-Required: No, and there was no REQUIRETLS
	// (RFC 8689, sections 3 and 4.1).
	TLSOptional bool
	// Priority is how urgent the message is (RFC 6710).
	Priority Priority
}

// Priority says before what other mail a message is sent: from LowestPriority to
// HighestPriority, mail without one has 0 (RFC 6710, section 3).
type Priority int8

// The ends of the scale.
const (
	LowestPriority  Priority = -9
	HighestPriority Priority = 9
)

// Recipient is one forward-path with its delivery-status wishes.
type Recipient struct {
	// Address is where the message goes.
	Address Address
	// Notify is NOTIFY of RFC 3461, section 4.1; zero means the parameter was
	// absent, which stands for failure and delay.
	Notify Notify
	// Original is ORCPT of RFC 3461, section 4.2, "type;address" with the
	// address decoded from xtext; "" if absent.
	Original string
}

// Return says what a failure report returns of the message.
type Return uint8

// The values of RET (RFC 3461, section 4.3).
const (
	ReturnUnset   Return = 0
	ReturnHeaders Return = 1
	ReturnFull    Return = 2
)

// Notify is the set of conditions under which a sender wants a report.
type Notify uint8

// The values of NOTIFY (RFC 3461, section 4.1). Never excludes the others.
const (
	NotifyNever   Notify = 1
	NotifySuccess Notify = 2
	NotifyFailure Notify = 4
	NotifyDelay   Notify = 8
)

// Wants reports whether a report of kind k (one of NotifySuccess,
// NotifyFailure, NotifyDelay) is to be sent. An absent NOTIFY stands for
// failure and delay (RFC 3461, section 4.1).
func (n Notify) Wants(k Notify) bool {
	if n == 0 {
		return k == NotifyFailure || k == NotifyDelay
	}
	return n&NotifyNever == 0 && n&k != 0
}
