package edit

import (
	"errors"
	"fmt"

	"quorumta/internal/mail"
	"quorumta/queue/event"
	"quorumta/queue/state"
)

const (
	// most is how many recipients one edit may name.
	most = 1000
	// mostRecipients is how many a message may come to.
	mostRecipients = 250_000
)

// ErrRefused: the message is not such that the wish can be done. The text says
// why.
var ErrRefused = errors.New("the recipients stay as they are")

// Wish is what an operator wants.
type Wish struct {
	// Drop are open recipients that get nothing any more, and nobody is told.
	Drop []mail.Address
	// Add are those that get the message as well.
	Add []mail.Address
	// Replace are those whose mail goes to others.
	Replace []Replacement
}

// Replacement is an address in the place of another.
type Replacement struct{ Old, New mail.Address }

// Size is how many recipients the wish names.
func (w *Wish) Size() int { return len(w.Drop) + len(w.Add) + len(w.Replace) }

// Plan is the fact that does the wish to a message as it is; nil where nothing is
// left to do. since is how many recipients the message had when it was first
// tried, 0 for the first time: what was done since then is not done again. It
// fails with ErrRefused.
func Plan(m *state.Message, w *Wish, since int) (*event.Edited, error) {
	switch n := w.Size(); {
	case n == 0:
		return nil, fmt.Errorf("%w: say whom to drop, to add or to replace", ErrRefused)
	case n > most:
		return nil, fmt.Errorf("%w: %d are named, %d may be", ErrRefused, n, most)
	case len(m.Recipients)+n > mostRecipients:
		return nil, fmt.Errorf("%w: a message has at most %d recipients", ErrRefused, mostRecipients)
	}
	p := plan{
		m: m, since: since, open: map[string][]uint32{}, used: map[uint32]bool{},
		fact: event.Edited{Count: uint32(len(m.Recipients))},
	}
	for i := range m.Recipients {
		if r := &m.Recipients[i]; r.Phase.Open() && r.Item == "" {
			p.open[r.Address.Key()] = append(p.open[r.Address.Key()], uint32(i))
		}
	}
	for _, a := range w.Drop {
		if err := p.drop(a); err != nil {
			return nil, err
		}
	}
	for _, r := range w.Replace {
		if err := p.replace(r); err != nil {
			return nil, err
		}
	}
	for _, a := range w.Add {
		p.add(a)
	}
	if len(p.fact.Drop)+len(p.fact.Add) == 0 {
		return nil, nil
	}
	return &p.fact, nil
}

// plan is one being made.
type plan struct {
	m     *state.Message
	since int
	// open are the recipients that may be named, by address; one that an alias has
	// brought may be there twice. used are those that were named.
	open map[string][]uint32
	used map[uint32]bool
	fact event.Edited
}

// find is the open recipients of an address, none where an earlier try may have
// ended them.
func (p *plan) find(a mail.Address) ([]uint32, error) {
	found := p.open[a.Key()]
	if len(found) == 0 && p.since == 0 {
		return nil, fmt.Errorf("%w: <%s> is no open recipient", ErrRefused, a)
	}
	for _, n := range found {
		if p.used[n] {
			return nil, fmt.Errorf("%w: <%s> is named twice", ErrRefused, a)
		}
		p.used[n] = true
	}
	return found, nil
}

func (p *plan) drop(a mail.Address) error {
	found, err := p.find(a)
	p.fact.Drop = append(p.fact.Drop, found...)
	return err
}

// replace keeps what the sender wished of reports, and whom he wrote to (RFC
// 3461, section 5.2.1).
func (p *plan) replace(r Replacement) error {
	found, err := p.find(r.Old)
	if err != nil {
		return err
	}
	for _, n := range found {
		of := p.m.Recipients[n].Recipient
		if p.m.Recipients[n].Phase == state.InFlight {
			return fmt.Errorf("%w: <%s> is being tried right now; hold the message, wait for the outcome, and say it again", ErrRefused, r.Old)
		}
		if of.Original == "" && of.Address.ASCII() {
			of.Original = "rfc822;" + of.Address.String()
		}
		of.Address = r.New
		p.fact.Add = append(p.fact.Add, event.Addition{Recipient: of, Instead: n + 1})
	}
	return nil
}

// add names one that comes, unless it is there: an address has the mail once. Who
// has got it already gets it once more, for that is what was asked for.
func (p *plan) add(a mail.Address) {
	for _, n := range p.open[a.Key()] {
		if !p.used[n] {
			return
		}
	}
	for i := p.since; p.since > 0 && i < len(p.m.Recipients); i++ {
		if p.m.Recipients[i].Address.Key() == a.Key() {
			return
		}
	}
	for i := range p.fact.Add {
		if p.fact.Add[i].Address.Key() == a.Key() {
			return
		}
	}
	// The sender knows nothing of this one, and is told nothing.
	p.fact.Add = append(p.fact.Add, event.Addition{Recipient: mail.Recipient{Address: a, Notify: mail.NotifyNever}})
}
