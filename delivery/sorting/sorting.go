// Package sorting sorts the recipients of a message by where its mail goes, as
// the routers say.
package sorting

import (
	"context"

	"quorumta/delivery/recipient"
	"quorumta/delivery/route"
	"quorumta/internal/mail"
	"quorumta/internal/policy"
	"quorumta/internal/tlspolicy"
	"quorumta/queue/state"
)

// Places are what the routers made of recipients.
type Places struct {
	// Groups are recipients by site, in the order of the first of each.
	Groups []Group
	// Ended are those that go nowhere, or not now, by what is said of them.
	Ended []Ended
	// Expanded are those that others come in the place of.
	Expanded []One
}

// Group is the recipients that go to one site by one router, and of which the
// same is said.
type Group struct {
	Target     route.Target
	Router     string
	Handling   mail.Handling
	Recipients []uint32
}

// Ended is recipients whose errors are told to the same address.
type Ended struct {
	Handling mail.Handling
	List     []One
}

// One is a recipient and what the routers decided for it.
type One struct {
	N        uint32
	Decision route.Decision
}

// Rules are what recipients are sorted by.
type Rules struct {
	Router *route.Table
	// TLS finds out what domains demand of connections; nil: nobody asks them.
	TLS *tlspolicy.Checker
	// Forwards says that what is forwarded goes out with another reverse-path.
	Forwards bool
	// Leaving adds to a target how a recipient's mail leaves for it; an error says
	// that it cannot leave now.
	Leaving func(t route.Target, f *policy.Facts, id mail.MessageID) (route.Target, error)
}

// place is what the recipients of a group have in common.
type place struct {
	router, target, handling, domain string
	forwarded                        bool // which may go out with another reverse-path
}

// Sort asks the routers about recipients of a message.
func (r *Rules) Sort(ctx context.Context, office recipient.Opener, m *state.Message, recipients []uint32) (all Places) {
	groups, endings := map[place]int{}, map[string]int{}
	fields := recipient.Header(office, &m.Accepted)
	for _, n := range recipients {
		q := recipient.Request(m, n, fields)
		decision := r.leaving(r.Router.Route(ctx, q), q.Facts, m.Accepted.ID)
		handling := m.Handling(n).And(decision.Handling)
		switch decision.Kind {
		case route.Deliver:
			decision.Target.Secure(ctx, r.TLS, &m.Accepted.Envelope)
			key := place{router: decision.Router, target: decision.Target.Key, handling: handling.Key(), forwarded: r.Forwards && Forwarded(m, n)}
			if way := decision.Target.Way; way != nil && way.Limits.OneDomain {
				key.domain = q.Facts.Rcpt.Domain
			}
			i, ok := groups[key]
			if !ok {
				i = len(all.Groups)
				groups[key] = i
				all.Groups = append(all.Groups, Group{Target: decision.Target, Router: decision.Router, Handling: handling})
			}
			all.Groups[i].Recipients = append(all.Groups[i].Recipients, n)
		case route.Expand:
			all.Expanded = append(all.Expanded, One{n, decision})
		default:
			r.TLS.Bogus(decision.Bogus)
			i, ok := endings[handling.Key()]
			if !ok {
				i = len(all.Ended)
				endings[handling.Key()] = i
				all.Ended = append(all.Ended, Ended{Handling: handling})
			}
			all.Ended[i].List = append(all.Ended[i].List, One{n, decision})
		}
	}
	return all
}

// leaving adds to where a recipient's mail goes how it leaves for it; it waits
// where it cannot.
func (r *Rules) leaving(x route.Decision, facts *policy.Facts, id mail.MessageID) route.Decision {
	if x.Kind != route.Deliver {
		return x
	}
	target, err := r.Leaving(x.Target, facts, id)
	if err != nil {
		return route.Decision{Kind: route.Defer, Router: x.Router, Reply: mail.Reply{Code: 451, Enhanced: "4.3.5", Text: err.Error()}}
	}
	x.Target = target
	return x
}

// Forwarded reports whether a recipient stands in the place of another address:
// its mail goes on from here, though its sender did not send it there. One in its
// own place, as beside a copy, does not.
func Forwarded(m *state.Message, n uint32) bool {
	if m.Recipients[n].Parent == 0 {
		return false
	}
	list := m.Ancestors(n)
	return m.Recipients[list[len(list)-1]].Address != m.Recipients[n].Address
}
