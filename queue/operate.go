package queue

import (
	"context"
	"time"

	"quorumta/internal/mail"
	"quorumta/queue/state"
)

// Selection chooses open messages. Zero fields do not narrow it.
type Selection struct {
	// State is "due", "deferred", "held" or "in_flight".
	State string `json:"state,omitempty"`
	// Domain of a recipient that is open; Sender is the whole reverse-path.
	Domain string `json:"domain,omitempty"`
	Sender string `json:"sender,omitempty"`
	// OlderThan is the age at least.
	OlderThan time.Duration `json:"older_than,omitempty"`
	// If is a CEL expression.
	If string `json:"if,omitempty"`
}

// Page is one page of a list.
type Page struct {
	Messages []*state.Message
	// Cursor continues the list; "" at its end.
	Cursor string
	// Stale names shards that answered without their leader.
	Stale []uint16
}

// Totals are the counts over all shards.
type Totals struct {
	Total    uint64 `json:"total"`
	Due      uint64 `json:"due"`
	Deferred uint64 `json:"deferred"`
	Held     uint64 `json:"held"`
	InFlight uint64 `json:"in_flight"`
}

// List lists the chosen messages in order of id, after the cursor.
func (q *Queue) List(ctx context.Context, s Selection, cursor string, limit int) (Page, error) {
	panic("queue: List is not built")
}

// Count counts the open messages of all shards.
func (q *Queue) Count(ctx context.Context) (Totals, error) { panic("queue: Count is not built") }

// Show reads a message and its history; the message is nil once it has ended.
func (q *Queue) Show(ctx context.Context, id mail.MessageID) (*state.Message, []state.Record, error) {
	panic("queue: Show is not built")
}

// Act is what an operator does to a message.
type Act string

// The acts.
const (
	ActHold    Act = "hold"
	ActRelease Act = "release"
	ActRetry   Act = "retry"
	ActRemove  Act = "remove"
)

// Operate does the act to a message, on record: by whom, and why.
func (q *Queue) Operate(ctx context.Context, act Act, id mail.MessageID, by, why string) error {
	panic("queue: Operate is not built")
}

// OperateAll does the act to the chosen messages and returns how many.
func (q *Queue) OperateAll(ctx context.Context, act Act, s Selection, by, why string) (int, error) {
	panic("queue: OperateAll is not built")
}

// Events calls f for the history of all messages, by shard, in the order of
// the messages' ids, or of one; with follow, it goes on with what is folded
// from then on, in log order per shard, until ctx ends or f returns false.
func (q *Queue) Events(ctx context.Context, id mail.MessageID, follow bool, f func(state.Record) bool) error {
	panic("queue: Events is not built")
}
