package attempt

import (
	"context"

	"quorumta/internal/mail"
	"quorumta/queue/call"
	"quorumta/queue/event"
)

// Method is the call by which a new leader asks a process.
const Method = "queue.attempts"

// Question asks a node what one of its processes knows of its attempts.
type Question struct {
	Boot     uint64  `json:"boot"`
	Attempts []Named `json:"attempts"`
}

// Named is an attempt as a question names it.
type Named struct {
	ID     mail.MessageID `json:"id"`
	Number uint32         `json:"number"`
}

// Answer is of the process that runs now: one item for each attempt of the
// question if it is the one asked after, none otherwise.
type Answer struct {
	Boot  uint64      `json:"boot"`
	Known []Knowledge `json:"known"`
}

// Reply answers a new leader's question to the process with that boot. What is
// answered Unsent will not be sent any more.
func (t *Table) Reply(boot uint64, ask Question) Answer {
	a := Answer{Boot: boot}
	if ask.Boot != boot {
		return a
	}
	for _, named := range ask.Attempts {
		a.Known = append(a.Known, t.Ask(Key(named)))
	}
	return a
}

// AskProcess asks a process on another node. known is nil if that process is
// no more; answered is false if its node is silent.
func AskProcess(ctx context.Context, f call.Func, p event.Process, ask Question) (known []Knowledge, answered bool) {
	a, err := call.Ask[Question, Answer](ctx, f, p.Node, Method, ask)
	if err != nil {
		return nil, false
	}
	return a.of(ask), true
}

// of is what the answer says to the question; nil if it is another process's.
func (a Answer) of(ask Question) []Knowledge {
	if a.Boot != ask.Boot || len(a.Known) != len(ask.Attempts) {
		return nil
	}
	return a.Known
}
