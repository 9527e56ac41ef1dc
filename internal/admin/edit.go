package admin

import (
	"context"

	"quorumta/internal/admin/api"
	"quorumta/internal/mail"
	"quorumta/queue"
	"quorumta/queue/event"
)

// reroute names the hosts of messages.
func (s *Server) reroute(ctx context.Context, q *api.RerouteRequest) (*api.Done, error) {
	by := attributed(ctx, q.By)
	switch {
	case by == "":
		return nil, invalid("say by whom: it goes on record")
	case q.ID == "" && q.Selection == (api.Selection{}) && !q.All:
		return nil, invalid("name a message, choose some, or say that all are meant")
	case q.ID == "":
		n, err := s.queue.RerouteAll(ctx, queue.Selection(q.Selection), q.Hosts, by, q.Why)
		return &api.Done{Count: n}, err
	}
	id, err := mail.ParseMessageID(string(q.ID))
	if err != nil {
		return nil, invalid("%q: %v", q.ID, err)
	}
	if err := s.queue.Reroute(ctx, id, q.Hosts, by, q.Why); err != nil {
		return nil, err
	}
	return &api.Done{Count: 1}, nil
}

// edit changes the recipients of a message.
func (s *Server) edit(ctx context.Context, q *api.EditRequest) (*api.Done, error) {
	by := attributed(ctx, q.By)
	if by == "" {
		return nil, invalid("say by whom: it goes on record")
	}
	id, err := mail.ParseMessageID(string(q.ID))
	if err != nil {
		return nil, invalid("%q: %v", q.ID, err)
	}
	w, err := wish(q)
	if err != nil {
		return nil, err
	}
	if err := s.queue.Edit(ctx, id, w, by, q.Why); err != nil {
		return nil, err
	}
	return &api.Done{Count: 1}, nil
}

// wish reads the addresses of a request.
func wish(q *api.EditRequest) (w queue.Wish, err error) {
	read := func(text string) mail.Address {
		a, wrong := mail.ParseAddress(text)
		switch {
		case err != nil:
		case wrong != nil:
			err = invalid("%q: %v", text, wrong)
		case a.IsNull():
			err = invalid("an address is expected, not none")
		}
		return a
	}
	for _, text := range q.Drop {
		w.Drop = append(w.Drop, read(text))
	}
	for _, text := range q.Add {
		w.Add = append(w.Add, read(text))
	}
	for _, r := range q.Replace {
		w.Replace = append(w.Replace, queue.Replacement{Old: read(r.Old), New: read(r.New)})
	}
	return w, err
}

// edited is an event for each recipient that was dropped, replaced or added.
func edited(base api.Event, e *event.Edited, to []string) []api.Event {
	out := each(base, e.Drop, to)
	for i := range e.Add {
		one := base
		if n := e.Add[i].Instead; n > 0 {
			one.Recipient = address(to, n-1)
		}
		one.Into = []string{e.Add[i].Address.String()}
		out = append(out, one)
	}
	return out
}
