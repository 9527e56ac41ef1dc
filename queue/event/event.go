package event

import (
	"time"

	"quorumta/internal/mail"
	"quorumta/queue/event/codec"
)

// Kind is an event's number in the encoding. A number is never reused.
type Kind uint8

// The kinds of events.
const (
	KindBodyPart  Kind = 1
	KindAccepted  Kind = 2
	KindAbandoned Kind = 3
	KindClaimed   Kind = 4
	KindReturned  Kind = 5
	KindDoubted   Kind = 6
	KindDelivered Kind = 7
	KindDeferred  Kind = 8
	KindFailed    Kind = 9
	KindExpired   Kind = 10
	KindWarned    Kind = 11
	KindExpanded  Kind = 12
	KindHeld      Kind = 13
	KindReleased  Kind = 14
	KindRemoved   Kind = 15
	KindRerouted  Kind = 16
	KindBounced   Kind = 17
	KindPruned    Kind = 18
	KindSwept     Kind = 19
	KindRetried   Kind = 20
	KindRenewed   Kind = 21
	KindSuspended Kind = 22
	KindResumed   Kind = 23
	KindNoted     Kind = 24
	KindUnnoted   Kind = 25
	KindEdited    Kind = 26
)

// Event is one of the structs of this package, by value in no pointer form:
// Accepted, Claimed and so on are used as *Accepted, *Claimed.
type Event interface {
	// Kind is the number of the event in the encoding.
	Kind() Kind
	// fields describes the event for the codec.
	fields(f *codec.Fields)
}

// Entry is what one Raft log entry carries.
type Entry struct {
	// Term is the term the entry was decided in (PROTOCOL 14).
	Term uint64
	// Groups are applied or refused one by one.
	Groups []Group
}

// Group is a list of events about one message (and the reports that they
// cause), applied or refused as a whole.
type Group struct {
	// ID is the message; "" for Pruned, Swept, Suspended and for a Resumed that
	// is about a whole shard.
	ID mail.MessageID
	// At is when it was decided, in UTC and whole milliseconds.
	At time.Time
	// Events are folded in order.
	Events []Event
}

// Process is one run of one node: a claim of an earlier run of the same node
// is a claim of a process that can no longer be asked.
type Process struct {
	Node string
	// Boot is drawn when the process starts.
	Boot uint64
}

// Submitter is who proposed a message: with the digest it tells a repetition
// from a collision of ids.
type Submitter struct {
	Process
	// Seq counts the submissions of the process.
	Seq uint64
}

// Client is who gave us the message.
type Client struct {
	IP       string // textual address, "" for our own reports
	Name     string // verified reverse name, "" if none
	Helo     string // argument of EHLO, HELO or LHLO
	Login    string // authenticated identity, "" if none
	Listener string // name of the listener
	Protocol string // as in Received: SMTP, ESMTP, ESMTPS, … (RFC 3848)
	TLS      string // version and cipher suite, "" if in the clear
}

// Trace is the span context of the transaction that accepted the message
// (W3C Trace Context).
type Trace struct {
	TraceID [16]byte
	SpanID  [8]byte
	Flags   byte
}

// BodyPart is a piece of content too large for one entry. It binds nothing:
// only Accepted makes a message.
type BodyPart struct {
	Submitter Submitter
	// N counts from 0; (message, N) is recorded once, repeats are ignored.
	N uint32
	// Content is at most MaxPart bytes.
	Content []byte
}

// Accepted is the birth of a message.
type Accepted struct {
	// ID is the group's message, or, for a report that rides in the group of
	// the message it reports about, the report's.
	ID        mail.MessageID
	Submitter Submitter
	Client    Client
	Envelope  mail.Envelope
	// Header says who wrote about what: the Message-ID and Subject fields as
	// received, each cut to 256 bytes.
	HeaderID string
	Subject  string
	// Size is the content's length in bytes.
	Size int64
	// Digest is the content's SHA-256.
	Digest [32]byte
	// Parts counts the BodyParts; 0 means Content is the whole.
	Parts   uint32
	Content []byte
	Trace   Trace
	// Rules names the policy rules that decided.
	Rules []string
	// Cause is the message a report is about; "" for all others.
	Cause mail.MessageID
	// Due is when it is first tried.
	Due time.Time
}

// Abandoned is the end of an id whose submitter has told its client 451
// before it knew (PROTOCOL 19): an Accepted that comes later is refused. If
// Accepted came first, Abandoned is refused.
type Abandoned struct {
	Submitter Submitter
}

// Claimed gives the recipients to one process for one attempt.
type Claimed struct {
	// Number is the attempt's number within the message, from 1.
	Number     uint32
	Recipients []uint32
	By         Process
}

// Returned ends an attempt that sent no final dot: the recipients are pending
// again and no retry step is used up.
type Returned struct {
	Number     uint32
	Recipients []uint32
	Due        time.Time
	Why        string
}

// Doubted ends an attempt of a process that cannot be asked: the final dot may
// have been sent. The recipients are pending again.
type Doubted struct {
	Number     uint32
	Recipients []uint32
	By         Process
	// Term is the claiming term.
	Term uint64
	Due  time.Time
	// Hold keeps the recipients from another attempt until an operator
	// releases the message.
	Hold bool
}

// Attempt says how recipients were tried.
type Attempt struct {
	// Number is that of Claimed; 0 where nothing was claimed.
	Number    uint32
	Node      string
	Router    string
	Transport string
	Host      string // name of the remote host
	IP        string
	TLS       string // version, cipher suite, and how the peer was verified
	Reply     mail.Reply
	// Took is from the claim to the outcome.
	Took time.Duration
}

// ErrorKind tells what an unsuccessful attempt failed at: the retry rules and
// the remembered state of hosts look at it.
type ErrorKind uint8

// The kinds of errors.
const (
	ErrorNone      ErrorKind = 0
	ErrorRouting   ErrorKind = 1 // no route, DNS failed
	ErrorConnect   ErrorKind = 2 // unreachable; of old, refused and timed out as well
	ErrorTLS       ErrorKind = 3
	ErrorTimeout   ErrorKind = 4 // the host fell silent in a session
	ErrorLost      ErrorKind = 5 // the host closed the connection
	ErrorGreeting  ErrorKind = 6 // 4yz or 5yz to connect or EHLO
	ErrorSender    ErrorKind = 7 // to MAIL
	ErrorRecipient ErrorKind = 8 // to RCPT
	ErrorContent   ErrorKind = 9 // to DATA or the final dot
	ErrorInternal  ErrorKind = 10
	// Kinds that say more than ErrorConnect and ErrorTLS, and what came later.
	ErrorRefused        ErrorKind = 11 // the host refuses connections
	ErrorConnectTimeout ErrorKind = 12 // the host is silent when it is connected to
	ErrorAuth           ErrorKind = 13 // the host does not know us
	ErrorTLSRequired    ErrorKind = 14 // the host offers no TLS where it must
	ErrorQuota          ErrorKind = 15 // a mailbox of ours is full
)

// Delivered closes those of the recipients that are still open: a host has
// taken responsibility, in whatever attempt they were claimed for.
type Delivered struct {
	Recipients []uint32
	Attempt    Attempt
}

// Deferred ends an attempt that is to be repeated, or, with an attempt of
// Number 0, puts off recipients that were not claimed. With ErrorNone it uses
// up no retry step.
type Deferred struct {
	Recipients []uint32
	Attempt    Attempt
	Error      ErrorKind
	Due        time.Time
}

// Failed closes recipients for good. Its report's Accepted, if there is one,
// stands in the same group. Like Deferred and Expired it may speak of pending
// recipients, with an attempt of Number 0.
type Failed struct {
	Recipients []uint32
	Attempt    Attempt
	Error      ErrorKind
}

// Expired closes recipients that were tried for long enough.
type Expired struct {
	Recipients []uint32
	Attempt    Attempt
	Error      ErrorKind
}

// Warned says that the sender was told of a delay; its report's Accepted
// stands in the same group.
type Warned struct {
	Recipients []uint32
	// Step counts the warnings, from 1.
	Step uint32
}

// Expanded replaces a recipient by others: an alias, a list, a copy for an
// archive beside the recipient itself. (Level 3.)
type Expanded struct {
	Recipient uint32
	Into      []Child
	Router    string
	// Count is how many recipients the message has: with another number the
	// event is refused, for somebody else has expanded one. 0 for any number.
	Count uint32
	// More: the recipient stays, since others follow in its place.
	More bool
	// Nobody says that Into is meant to be empty.
	Nobody bool
	// Handling is said of all that come in the recipient's place and are not
	// Apart.
	Handling mail.Handling
}

// Child is a recipient in the place of another.
type Child struct {
	mail.Recipient
	// Item is "|command" or "/file" as an alias has it; the address is then that
	// of the alias. "" for all others.
	Item string
	// Apart: Handling is not said of this one.
	Apart bool
}

// Held keeps a message from being claimed.
type Held struct {
	By  string
	Why string
}

// Released ends Held.
type Released struct {
	By string
}

// Retried makes the pending recipients due. A held message stays held.
type Retried struct {
	By  string
	Due time.Time
}

// Removed ends a message by an operator's will, without a report.
type Removed struct {
	By  string
	Why string
}

// Bounced ends the open recipients by an operator's will; the report's
// Accepted stands in the same group.
type Bounced struct {
	By  string
	Why string
}

// Rerouted sends the open recipients to the named hosts instead; without any
// the routers have their say again. Why is of level 3.
type Rerouted struct {
	By    string
	Hosts []string
	Why   string
}

// Edited changes who gets a message, by an operator's will. (Level 3.)
type Edited struct {
	By  string
	Why string
	// Drop are open recipients that end here, without a report.
	Drop []uint32
	// Add are those that come.
	Add []Addition
	// Count is how many recipients the message has: with another number the
	// event is refused, for somebody else has changed them.
	Count uint32
}

// Addition is a recipient that an operator adds.
type Addition struct {
	mail.Recipient
	// Instead is one more than the index of the pending recipient in whose place
	// it comes; 0 for one more. Those in the place of one follow each other.
	Instead uint32
}

// Pruned forgets the history of messages that ended on a day.
type Pruned struct {
	// Day counts from 1970-01-01, UTC.
	Day uint32
}

// Swept forgets the parts of uploads that nobody finished; it is refused if
// one of them has ended meanwhile.
type Swept struct {
	IDs []mail.MessageID
}

// Renewed keeps an unfinished upload from being swept.
type Renewed struct {
	Submitter Submitter
}

// Suspended keeps all open messages of the shard from being claimed: they come
// from a backup, and may have been delivered after it was taken. What is
// accepted later is not concerned. (Level 2.)
type Suspended struct {
	By string
	// Backup is when the backup was taken.
	Backup time.Time
}

// Resumed lets the message go on in spite of Suspended or, in a group about no
// message, ends Suspended. Held messages stay held. (Level 2.)
type Resumed struct {
	By string
}

// Noted keeps a small fact until a time, for all nodes: what an operator has
// suspended, what was learnt about a site, a policy that was fetched. The
// group's id names the note in the history, which it enters if somebody ordered
// it; it is drawn for this alone. A later one under the same key replaces it.
// (Level 3.)
type Noted struct {
	// Key is at most MaxNoteKey bytes, Value MaxNoteValue.
	Key   string
	Value string
	// Until is when it ends by itself; zero: never.
	Until time.Time
	// By and Why say who ordered it; "" for what nodes tell each other.
	By  string
	Why string
}

// Unnoted ends a note. (Level 3.)
type Unnoted struct {
	Key string
	// Until is set where time has ended the note: a note that ends at another
	// time stays.
	Until time.Time
	By    string
	Why   string
}

// The limits of a note.
const (
	MaxNoteKey   = 512
	MaxNoteValue = 64 << 10
)

// MaxPart is the largest content of a BodyPart, and of an Accepted that
// carries its content itself.
const MaxPart = 256 << 10

// Kind implements Event.
func (*BodyPart) Kind() Kind { return KindBodyPart }

// Kind implements Event.
func (*Accepted) Kind() Kind { return KindAccepted }

// Kind implements Event.
func (*Abandoned) Kind() Kind { return KindAbandoned }

// Kind implements Event.
func (*Claimed) Kind() Kind { return KindClaimed }

// Kind implements Event.
func (*Returned) Kind() Kind { return KindReturned }

// Kind implements Event.
func (*Doubted) Kind() Kind { return KindDoubted }

// Kind implements Event.
func (*Delivered) Kind() Kind { return KindDelivered }

// Kind implements Event.
func (*Deferred) Kind() Kind { return KindDeferred }

// Kind implements Event.
func (*Failed) Kind() Kind { return KindFailed }

// Kind implements Event.
func (*Expired) Kind() Kind { return KindExpired }

// Kind implements Event.
func (*Warned) Kind() Kind { return KindWarned }

// Kind implements Event.
func (*Expanded) Kind() Kind { return KindExpanded }

// Kind implements Event.
func (*Held) Kind() Kind { return KindHeld }

// Kind implements Event.
func (*Released) Kind() Kind { return KindReleased }

// Kind implements Event.
func (*Retried) Kind() Kind { return KindRetried }

// Kind implements Event.
func (*Removed) Kind() Kind { return KindRemoved }

// Kind implements Event.
func (*Bounced) Kind() Kind { return KindBounced }

// Kind implements Event.
func (*Rerouted) Kind() Kind { return KindRerouted }

// Kind implements Event.
func (*Pruned) Kind() Kind { return KindPruned }

// Kind implements Event.
func (*Swept) Kind() Kind { return KindSwept }

// Kind implements Event.
func (*Renewed) Kind() Kind { return KindRenewed }

// Kind implements Event.
func (*Suspended) Kind() Kind { return KindSuspended }

// Kind implements Event.
func (*Resumed) Kind() Kind { return KindResumed }

// Kind implements Event.
func (*Edited) Kind() Kind { return KindEdited }

// Kind implements Event.
func (*Noted) Kind() Kind { return KindNoted }

// Kind implements Event.
func (*Unnoted) Kind() Kind { return KindUnnoted }
