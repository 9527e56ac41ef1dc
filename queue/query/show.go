package query

import (
	"context"
	"errors"
	"fmt"

	"quorumta/internal/mail"
	"quorumta/queue/event"
	"quorumta/queue/state"
)

const callShow = "queue.show"

// showing asks for a message.
type showing struct {
	ID mail.MessageID `json:"id"`
}

func (s showing) of() uint16 { return s.ID.Shard() }

// shown is the answer; History has each record in the encoding of events.
type shown struct {
	Message *state.Message `json:"message"`
	History [][]byte       `json:"history"`
}

// serveShow answers from this node's replica.
func (a *Asker) serveShow(_ context.Context, ask showing) (shown, error) {
	var s shown
	err := a.o.View(ask.ID.Shard(), func(r state.Reader) {
		s.Message, _ = state.Load(r, ask.ID)
		records, _ := state.History(r, ask.ID)
		for _, rec := range records {
			s.History = append(s.History, encodeRecord(rec))
		}
	})
	return s, err
}

// Show reads a message and its history: the message is nil once it has ended,
// and there is neither if the id is not known.
func (a *Asker) Show(ctx context.Context, id mail.MessageID) (*state.Message, []state.Record, error) {
	s, _, err := atLeader(ctx, a, id.Shard(), callShow, a.serveShow, showing{id})
	if err != nil {
		return nil, nil, fmt.Errorf("show %s: %w", id, err)
	}
	records := make([]state.Record, len(s.History))
	for i, b := range s.History {
		if records[i], err = decodeRecord(b); err != nil {
			return nil, nil, fmt.Errorf("show %s: %w", id, err)
		}
	}
	return s.Message, records, nil
}

// encodeRecord is a record as an entry of one group.
func encodeRecord(r state.Record) []byte {
	g := event.Group{ID: r.ID, At: r.At, Events: []event.Event{r.Event}}
	return event.Append(nil, event.Entry{Term: r.Term, Groups: []event.Group{g}})
}

func decodeRecord(b []byte) (state.Record, error) {
	e, err := event.Decode(b)
	if err != nil {
		return state.Record{}, err
	}
	if len(e.Groups) != 1 || len(e.Groups[0].Events) != 1 {
		return state.Record{}, errors.New("a record has one event")
	}
	g := e.Groups[0]
	return state.Record{ID: g.ID, At: g.At, Term: e.Term, Event: g.Events[0]}, nil
}
