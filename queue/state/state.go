package state

import (
	"time"

	"quorumta/internal/mail"
	"quorumta/queue/event"
	"quorumta/queue/state/roster"
	"quorumta/queue/state/tally"
	"quorumta/queue/state/verdict"
)

// Reader is what folding and deciding read. Get's value may be kept, and is not
// changed; Scan's key and value are valid during the call of f only.
type Reader interface {
	Get(key []byte) (value []byte, ok bool)
	Scan(lo, hi []byte, f func(key, value []byte) bool)
}

// Writer takes what folding changes. The Reader sees it at once. Who changes
// says whether it may keep keys and values.
type Writer interface {
	Set(key, value []byte)
	Delete(key []byte)
	DeleteRange(lo, hi []byte)
}

// Result is the verdict on a group: the same on every replica. Those that
// refuse it have changed nothing.
type Result = verdict.Result

// The verdicts; see there.
const (
	Applied   = verdict.Applied
	Duplicate = verdict.Duplicate
	Conflict  = verdict.Conflict
	Abandoned = verdict.Abandoned
	Missing   = verdict.Missing
	Unknown   = verdict.Unknown
	Stale     = verdict.Stale
	Late      = verdict.Late
	Malformed = verdict.Malformed
	Full      = verdict.Full
)

// Phase is where a recipient is.
type Phase = roster.Phase

// The phases; see there.
const (
	Pending   = roster.Pending
	InFlight  = roster.InFlight
	Delivered = roster.Delivered
	Failed    = roster.Failed
	Expired   = roster.Expired
	Removed   = roster.Removed
	Bounced   = roster.Bounced
	Expanded  = roster.Expanded
)

// Recipient is a recipient and how far it is, Origin where it comes from, and
// Expansion who replaced it by others.
type (
	Recipient = roster.Recipient
	Origin    = roster.Origin
	Expansion = roster.Expansion
)

// Message is an open message: what was accepted, without its content, and how
// far it is.
type Message struct {
	Accepted event.Accepted
	// At is when it was accepted.
	At         time.Time
	Recipients []Recipient
	// Attempts counts the Claimed; the next has Number Attempts+1.
	Attempts uint32
	// Held, and by whom and why.
	Held    bool
	HeldBy  string
	HeldWhy string
	// Hosts are those of the last Rerouted; empty if never.
	Hosts []string
	// Suspended: the message comes from a backup, and waits until an operator
	// lets it go on.
	Suspended bool
}

// HeldMessage is a message that is held, and since when.
type HeldMessage struct {
	Message *Message
	Since   time.Time
}

// Suspension is why messages of a shard are suspended.
type Suspension struct {
	// At is when, By whom; Backup is when the backup was taken.
	At     time.Time
	By     string
	Backup time.Time
}

// DueRow is a message in the due index under the earliest due time of its
// pending recipients. Held and suspended messages have none.
type DueRow struct {
	Due time.Time
	ID  mail.MessageID
}

// Claim is an attempt under way.
type Claim struct {
	ID         mail.MessageID
	Number     uint32
	Recipients []uint32
	By         event.Process
	// Term and At are those of the Claimed.
	Term uint64
	At   time.Time
}

// Record is an event of a message's history.
type Record struct {
	ID   mail.MessageID
	At   time.Time
	Term uint64
	// Event carries no content.
	Event event.Event
}

// Counts are kept up to date by folding.
type Counts = tally.Counts

// Upload is an unfinished upload.
type Upload struct {
	ID mail.MessageID
	// Renewed is the time of its last part or Renewed.
	Renewed   time.Time
	Submitter event.Submitter
}
