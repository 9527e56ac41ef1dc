package state

import "quorumta/internal/mail"

// Ancestors lists the recipients in whose place the n-th one is, nearest first.
func (m *Message) Ancestors(n uint32) []uint32 {
	var list []uint32
	for p := m.Recipients[n].Parent; p != 0; p = m.Recipients[p-1].Parent {
		list = append(list, p-1)
	}
	return list
}

// Handling is what the routers have said that put the n-th recipient in the
// place of others; the zero Handling for one of the envelope.
func (m *Message) Handling(n uint32) mail.Handling {
	line := append([]uint32{n}, m.Ancestors(n)...)
	var h mail.Handling
	for i := len(line) - 1; i > 0; i-- {
		if e := m.Recipients[line[i]].Expansion; e != nil && !m.Recipients[line[i-1]].Apart {
			h = h.And(e.Handling)
		}
	}
	return h
}
