package office

import (
	"slices"
	"sync"

	"quorumta/internal/mail"
	"quorumta/queue/state"
)

// overlay is what an office has proposed to claim and not yet seen applied:
// deciding runs ahead of folding (PROTOCOL 18). It is dropped with the office.
// Its methods are safe for concurrent use.
type overlay struct {
	mu    sync.Mutex
	ahead map[mail.MessageID]*ahead
}

// ahead are the claims of one message under way.
type ahead struct {
	claims     int
	number     uint32 // of the newest
	recipients []uint32
}

// has reports whether claims of the message are under way.
func (v *overlay) has(id mail.MessageID) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.ahead[id] != nil
}

// enter notes the claim that propose is to put on its way, and numbers it.
// Numbers have the order of the calls of propose, so that an attempt is never
// claimed before an earlier one. load reads the message's newest state. It
// reports false if a recipient cannot be claimed, or with propose's error.
func (v *overlay) enter(load func() (*state.Message, bool), recipients []uint32, propose func(m *state.Message, number uint32) error) (bool, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	m, ok := load()
	if !ok || m.Held || m.Suspended || len(recipients) == 0 {
		return false, nil
	}
	a := v.ahead[m.Accepted.ID]
	for _, n := range recipients {
		if int(n) >= len(m.Recipients) || m.Recipients[n].Phase != state.Pending || a != nil && slices.Contains(a.recipients, n) {
			return false, nil
		}
	}
	number := m.Attempts + 1
	if a != nil {
		number = max(number, a.number+1)
	}
	if err := propose(m, number); err != nil {
		return false, err
	}
	v.note(m.Accepted.ID, number, recipients)
	return true, nil
}

func (v *overlay) note(id mail.MessageID, number uint32, recipients []uint32) {
	if v.ahead == nil {
		v.ahead = map[mail.MessageID]*ahead{}
	}
	a := v.ahead[id]
	if a == nil {
		a = &ahead{}
		v.ahead[id] = a
	}
	a.claims++
	a.number = number
	a.recipients = append(a.recipients, recipients...)
}

// leave forgets a claim that has its verdict.
func (v *overlay) leave(id mail.MessageID, recipients []uint32) {
	v.mu.Lock()
	defer v.mu.Unlock()
	a := v.ahead[id]
	if a == nil {
		return
	}
	if a.claims--; a.claims == 0 {
		delete(v.ahead, id)
		return
	}
	a.recipients = slices.DeleteFunc(a.recipients, func(n uint32) bool { return slices.Contains(recipients, n) })
}
