package api

import (
	"encoding/json"
	"time"

	"quorumta/internal/mail"
)

// Time is a point in time as RFC 3339 in UTC with milliseconds; the zero time
// is left out where the field says so.
type Time struct{ time.Time }

const timeFormat = "2006-01-02T15:04:05.000Z"

// MarshalText implements encoding.TextMarshaler.
func (t Time) MarshalText() ([]byte, error) { return []byte(t.UTC().Format(timeFormat)), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (t *Time) UnmarshalText(b []byte) error {
	v, err := time.Parse(time.RFC3339, string(b))
	t.Time = v
	return err
}

// Status is the answer of "cluster status".
type Status struct {
	// Map is the version of the cluster's map that the asked node has.
	Map    uint64  `json:"map"`
	Nodes  []Node  `json:"nodes"`
	Shards []Shard `json:"shards"`
	// Control is the group that has the map, with the id 0. Mail does without
	// it.
	Control Shard `json:"control"`
}

// Node is a member as the asked node knows it.
type Node struct {
	Name     string   `json:"name"`
	Address  string   `json:"address"`
	Alive    bool     `json:"alive"`
	Leads    []uint16 `json:"leads"`
	Version  string   `json:"version,omitempty"`
	Free     uint64   `json:"free_disk,omitempty"`
	Draining bool     `json:"draining,omitempty"`
	// Incarnation is a part of its Raft id, Level the newest event level that it
	// knows.
	Incarnation string `json:"incarnation,omitempty"`
	Level       int    `json:"level,omitempty"`
	// Leaving: it was removed, and its replicas are moving away.
	Leaving bool `json:"leaving,omitempty"`
}

// Shard is a shard as the asked node knows it.
type Shard struct {
	ID       uint16    `json:"id"`
	Leader   string    `json:"leader"`
	Term     uint64    `json:"term"`
	Commit   uint64    `json:"commit"`
	Applied  uint64    `json:"applied"`
	Replicas []Replica `json:"replicas"`
	// Wanted are the nodes that are to have the replicas.
	Wanted []string `json:"wanted"`
	// Retiring: it takes no new mail, and goes when it holds none any more.
	Retiring bool `json:"retiring,omitempty"`
	// Queued counts the open messages of this node's replica.
	Queued uint64 `json:"queued"`
	// Stopped says why this node's replica stopped.
	Stopped string `json:"stopped,omitempty"`
}

// Replica is one member's replica as the shard's leader sees it.
type Replica struct {
	Node    string `json:"node"`
	Applied uint64 `json:"applied"`
	Voter   bool   `json:"voter"`
}

// DigestRequest asks for digests; Deep for that of the whole state too.
type DigestRequest struct {
	Deep bool `json:"deep,omitempty"`
}

// Digest is the answer of "cluster digest".
type Digest struct {
	Shards []ShardDigest `json:"shards"`
}

// ShardDigest compares a shard's replicas.
type ShardDigest struct {
	ID       uint16          `json:"id"`
	Replicas []ReplicaDigest `json:"replicas"`
}

// ReplicaDigest is one replica's digest: equal Applied must mean equal Chain.
type ReplicaDigest struct {
	Node    string `json:"node"`
	Applied uint64 `json:"applied"`
	Chain   string `json:"chain"`
	SHA256  string `json:"sha256,omitempty"`
	Error   string `json:"error,omitempty"`
}

// Equal reports whether replicas that are comparable agree, and all answered.
func (d Digest) Equal() bool {
	for _, s := range d.Shards {
		for i, r := range s.Replicas {
			first := s.Replicas[0]
			if r.Error != "" || (i > 0 && r.Applied == first.Applied && (r.Chain != first.Chain || r.SHA256 != first.SHA256)) {
				return false
			}
		}
	}
	return true
}

// DrainRequest asks for a node to be drained.
type DrainRequest struct {
	Node string `json:"node"`
}

// TransferRequest asks for a shard's lead to be handed to a node.
type TransferRequest struct {
	Shard uint16 `json:"shard"`
	Node  string `json:"node"`
}

// TokenRequest asks for a token that lets one node join.
type TokenRequest struct {
	// LifeSeconds is how long it is good for; 0 means a day.
	LifeSeconds int64 `json:"life_seconds,omitempty"`
}

// Token lets one node join.
type Token struct {
	Token   string `json:"token"`
	Expires Time   `json:"expires"`
}

// RemoveRequest asks for a member to be removed; Force even where no majority
// of the others is alive.
type RemoveRequest struct {
	Node  string `json:"node"`
	Force bool   `json:"force,omitempty"`
}

// ShardsRequest asks for so many shards that take new mail; 0 means one per
// member.
type ShardsRequest struct {
	Count int `json:"count"`
}

// Upgrade is the answer of "cluster upgrade status". A level is a set of kinds
// of events.
type Upgrade struct {
	// Level is the newest that may be written, Ready the newest that all members
	// know, Newest what some member knows.
	Level   int       `json:"level"`
	Ready   int       `json:"ready"`
	Newest  int       `json:"newest"`
	Members []Release `json:"members"`
}

// Release is the program of a member.
type Release struct {
	Node    string `json:"node"`
	Version string `json:"version"`
	Level   int    `json:"level"`
}

// SkipRequest asks that no replica folds an entry.
type SkipRequest struct {
	Shard uint16 `json:"shard"`
	Index uint64 `json:"index"`
	// Force skips it although no replica that answers has stopped there.
	Force bool `json:"force,omitempty"`
}

// BackupRequest asks for a backup, of at most Rate bytes a second; 0 means no
// bound.
type BackupRequest struct {
	Rate int64 `json:"rate,omitempty"`
}

// BackupPart is a piece of the file, or a word about it.
type BackupPart struct {
	Data     []byte    `json:"data,omitempty"`
	Progress *Progress `json:"progress,omitempty"`
}

// Progress says how far a backup is: the shard that is copied, the how-manieth
// of how many, and its length in bytes.
type Progress struct {
	Shard uint16 `json:"shard"`
	Nth   int    `json:"nth"`
	Of    int    `json:"of"`
	Bytes int64  `json:"bytes"`
	// Node is whose replica it is.
	Node string `json:"node"`
}

// Done is the answer of what has no other; Count is how many messages an act
// was done to.
type Done struct {
	Count int `json:"count,omitempty"`
}

// Selection chooses open messages. Zero fields do not narrow it.
type Selection struct {
	// State is "due", "deferred", "held" or "in_flight".
	State string `json:"state,omitempty"`
	// Domain of a recipient that is open; Sender is the whole reverse-path, "<>"
	// the null one.
	Domain string `json:"domain,omitempty"`
	Sender string `json:"sender,omitempty"`
	// OlderThan is the age at least.
	OlderThan time.Duration `json:"older_than,omitempty"`
	// Restored: it comes from a backup, and waits to be let go.
	Restored bool `json:"restored,omitempty"`
	// If is a CEL expression.
	If string `json:"if,omitempty"`
}

// Act is what an operator does to messages.
type Act string

// The acts.
const (
	ActHold    Act = "hold"
	ActRelease Act = "release"
	ActRetry   Act = "retry"
	ActRemove  Act = "remove"
	// ActResume lets a message go on that waits because it was restored.
	ActResume Act = "resume"
)

// Totals are the counts over all shards.
type Totals struct {
	Total uint64 `json:"total"`
	// Due may be some seconds old where there are very many.
	Due      uint64 `json:"due"`
	Deferred uint64 `json:"deferred"`
	Held     uint64 `json:"held"`
	InFlight uint64 `json:"in_flight"`
	// Restored come from a backup and wait to be let go; they count as held.
	Restored uint64 `json:"restored,omitempty"`
	// Suspended are the shards that have such messages.
	Suspended []Suspension `json:"suspended,omitempty"`
	// Stale names shards that answered without their leader: what they have
	// accepted last may be missing.
	Stale []uint16 `json:"stale,omitempty"`
}

// Suspension is why messages of a shard wait that was restored from a backup.
type Suspension struct {
	Shard uint16 `json:"shard"`
	// At is when it was restored, By whom, from a Backup of what time.
	At     Time   `json:"at"`
	By     string `json:"by"`
	Backup Time   `json:"backup"`
}

// ListRequest asks for a page of messages.
type ListRequest struct {
	Selection
	Cursor string `json:"cursor,omitempty"`
	// Limit is at most 1,000; 0 means 100.
	Limit int `json:"limit,omitempty"`
}

// List is a page of messages.
type List struct {
	Messages []Message `json:"messages"`
	Cursor   string    `json:"cursor,omitempty"`
	// Stale names shards that answered without their leader.
	Stale []uint16 `json:"stale,omitempty"`
}

// Message is an open message.
type Message struct {
	ID mail.MessageID `json:"id"`
	At Time           `json:"at"`
	// State is due, deferred, held or in_flight.
	State    string         `json:"state"`
	From     string         `json:"from"`
	Size     int64          `json:"size"`
	HeaderID string         `json:"header_id,omitempty"`
	Subject  string         `json:"subject,omitempty"`
	Client   string         `json:"client,omitempty"`
	Cause    mail.MessageID `json:"cause,omitempty"`
	Held     bool           `json:"held,omitempty"`
	HeldBy   string         `json:"held_by,omitempty"`
	HeldWhy  string         `json:"held_why,omitempty"`
	// Restored: it comes from a backup, and waits to be released.
	Restored   bool        `json:"restored,omitempty"`
	Attempts   uint32      `json:"attempts"`
	Recipients []Recipient `json:"recipients"`
}

// Recipient is a recipient and how far it is.
type Recipient struct {
	Address string `json:"address"`
	// State is pending, in_flight, delivered, failed, expired, removed, bounced
	// or expanded.
	State string `json:"state"`
	Due   *Time  `json:"due,omitempty"`
	Tries uint32 `json:"tries,omitempty"`
	// Error is the kind of the last failure, Host and Reply where and how it
	// failed; FirstFailed and LastFailed are when it first and last did.
	Error       string `json:"error,omitempty"`
	Host        string `json:"host,omitempty"`
	Reply       string `json:"reply,omitempty"`
	FirstFailed *Time  `json:"first_failed,omitempty"`
	LastFailed  *Time  `json:"last_failed,omitempty"`
	// Warned counts the warnings of the delay.
	Warned uint32 `json:"warned,omitempty"`
	// Waits is why it waits, of a message that is shown.
	Waits *Waits `json:"waits,omitempty"`
	// Route is where its mail goes now and why, where that was asked for: a Trace
	// of package delivery/explain.
	Route json.RawMessage `json:"route,omitempty"`
	// Doubts counts the attempts that ended in doubt.
	Doubts uint32 `json:"doubts,omitempty"`
}

// Waits is why a recipient has not been delivered, and what comes next.
type Waits struct {
	// For is release, answer, routing, site, connection, host, time or sweep;
	// Until is when that ends, where it is known.
	For   string `json:"for"`
	Until *Time  `json:"until,omitempty"`
	Why   string `json:"why,omitempty"`
	// Rule and Step are the retry rule's that decided about the last failure,
	// Expires is when a failure is final.
	Rule    string `json:"rule,omitempty"`
	Step    string `json:"step,omitempty"`
	Expires *Time  `json:"expires,omitempty"`
	// Warns is when the sender will be told of the delay.
	Warns *Time `json:"warns,omitempty"`
}

// ShowRequest asks for one message; Routes: where its mail goes, too.
type ShowRequest struct {
	ID     mail.MessageID `json:"id"`
	Routes bool           `json:"routes,omitempty"`
}

// Show is a message and its history. Message is nil once it has ended.
type Show struct {
	Message *Message `json:"message,omitempty"`
	History []Event  `json:"history"`
}

// ActRequest asks for an act on one message or, without ID, on the chosen.
type ActRequest struct {
	Act Act            `json:"act"`
	ID  mail.MessageID `json:"id,omitempty"`
	Selection
	// All must be said where neither ID nor a selection narrows the act.
	All bool   `json:"all,omitempty"`
	By  string `json:"by"`
	Why string `json:"why,omitempty"`
}

// RerouteRequest asks that one message or, without ID, the chosen go to hosts
// instead of where the routers send them; without hosts that the routers have
// their say again.
type RerouteRequest struct {
	ID mail.MessageID `json:"id,omitempty"`
	Selection
	All   bool     `json:"all,omitempty"`
	Hosts []string `json:"hosts,omitempty"`
	By    string   `json:"by"`
	Why   string   `json:"why,omitempty"`
}

// EditRequest asks for other recipients of a message.
type EditRequest struct {
	ID mail.MessageID `json:"id"`
	// Drop are recipients that get nothing any more, Add those that get the
	// message as well.
	Drop    []string      `json:"drop,omitempty"`
	Add     []string      `json:"add,omitempty"`
	Replace []Replacement `json:"replace,omitempty"`
	By      string        `json:"by"`
	Why     string        `json:"why,omitempty"`
}

// Replacement is an address in the place of another.
type Replacement struct {
	Old string `json:"old"`
	New string `json:"new"`
}

// ResumeRequest asks that everything goes on that waits because it was
// restored.
type ResumeRequest struct {
	By string `json:"by"`
}

// EventsRequest asks for histories.
type EventsRequest struct {
	ID     mail.MessageID `json:"id,omitempty"`
	Follow bool           `json:"follow,omitempty"`
}

// Event is one event, for one recipient where it is about recipients.
type Event struct {
	Event     string         `json:"event"`
	At        Time           `json:"at"`
	ID        mail.MessageID `json:"id,omitempty"`
	Recipient string         `json:"recipient,omitempty"`
	Term      uint64         `json:"term,omitempty"`
	Node      string         `json:"node,omitempty"`
	Attempt   uint32         `json:"attempt,omitempty"`
	// What an attempt says.
	*Attempted
	Due *Time `json:"due,omitempty"`
	// What an operator's act says.
	By  string `json:"by,omitempty"`
	Why string `json:"why,omitempty"`
	// What the birth of a message says.
	*Born
	// Into are the recipients of an expansion, Hosts those of a rerouting.
	Into  []string `json:"into,omitempty"`
	Hosts []string `json:"hosts,omitempty"`
	// Noted is what was noted, or is not any more.
	Noted *Noted `json:"note,omitempty"`
}

// Noted is a note that somebody ordered, as that a site is suspended.
type Noted struct {
	Key   string `json:"key"`
	Value string `json:"value,omitempty"`
	Until *Time  `json:"until,omitempty"`
}

// Attempted is how a recipient was tried.
type Attempted struct {
	Router    string `json:"router,omitempty"`
	Transport string `json:"transport,omitempty"`
	Host      string `json:"host,omitempty"`
	IP        string `json:"ip,omitempty"`
	TLS       string `json:"tls,omitempty"`
	Reply     string `json:"reply,omitempty"`
	// TookMS is from the claim to the outcome, milliseconds.
	TookMS int64 `json:"took_ms,omitempty"`
	// Error is the kind of error, as "connect".
	Error string `json:"error,omitempty"`
}

// Born is how a message came to be.
type Born struct {
	From     string         `json:"from"`
	To       []string       `json:"to"`
	Size     int64          `json:"size"`
	Digest   string         `json:"digest"`
	HeaderID string         `json:"header_id,omitempty"`
	Subject  string         `json:"subject,omitempty"`
	Client   string         `json:"client,omitempty"`
	Helo     string         `json:"helo,omitempty"`
	Protocol string         `json:"protocol,omitempty"`
	Priority int            `json:"priority,omitempty"`
	Rules    []string       `json:"rules,omitempty"`
	Trace    string         `json:"trace,omitempty"`
	Cause    mail.MessageID `json:"cause,omitempty"`
}
