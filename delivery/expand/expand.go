// Package expand turns a router's word that others come in a recipient's place
// into facts to put on record: who comes, with what wishes for reports (RFC
// 3461, section 5.2.7), and in parts that are small enough for an entry. It has
// no clock and asks nobody.
//
// Nobody is lost when a node ends between two parts: the recipient stays pending
// until the last part is on record, and whoever expands it again leaves out those
// that came before. Two who do so at once do not add anybody twice, since each
// part says how many recipients the message has.
package expand

import (
	"fmt"

	"quorumta/delivery/route"
	"quorumta/internal/mail"
	"quorumta/queue/event"
	"quorumta/queue/state"
)

const (
	// Most is how many recipients a message may come to.
	Most = 250_000
	// partSize and partBytes bound what one part adds.
	partSize  = 500
	partBytes = 64 << 10
)

// Facts are what to put on record, part by part.
type Facts struct {
	Parts []*event.Expanded
	// Report is the action of the report of success that the sender is owed with
	// the last part; "" for none.
	Report Report
}

// Report is what a sender is told who wants to know of success (RFC 3464, section
// 2.3.3).
type Report string

// The reports: delivered, to a list or to nobody, or expanded.
const (
	Delivered Report = "delivered"
	Expanded  Report = "expanded"
)

// Count is how many recipients come.
func (f *Facts) Count() int {
	n := 0
	for _, part := range f.Parts {
		n += len(part.Into)
	}
	return n
}

// Of makes the facts of a decision to expand the n-th recipient. It fails where
// there would be too many.
func Of(m *state.Message, n uint32, d *route.Decision) (Facts, error) {
	x := expansion{m: m, n: n, d: d}
	for i := range d.Into {
		if d.Into[i].Self {
			x.copied = true
		} else {
			x.others++
		}
	}
	children := x.children()
	if len(m.Recipients)+len(children) > Most {
		return Facts{}, fmt.Errorf("%d recipients in the place of <%s> are too many: a message has at most %d",
			len(children), m.Recipients[n].Address, Most)
	}
	return Facts{Parts: x.parts(children), Report: x.report()}, nil
}

// expansion is one being put into facts.
type expansion struct {
	m *state.Message
	n uint32
	d *route.Decision
	// others counts those that come beside the recipient itself, copied says that
	// it goes on.
	others int
	copied bool
}

// who tells recipients apart: an address has the mail once, whatever stands for
// it.
type who struct{ address, item string }

func whoIs(a mail.Address, item string) who { return who{a.Key(), item} }

// children are those that come, without those that the message has already.
func (x *expansion) children() []event.Child {
	known := x.known()
	var list []event.Child
	for i := range x.d.Into {
		c := &x.d.Into[i]
		key := whoIs(c.Address, c.Item)
		if known[key] {
			continue
		}
		known[key] = true
		child := event.Child{Item: c.Item, Apart: c.Self}
		child.Recipient = x.wishes(c)
		list = append(list, child)
	}
	return list
}

// known are the recipients that get the message, have got it or have failed. Of
// those that stand for others the address may come again, but for what an
// earlier part of this expansion has brought.
func (x *expansion) known() map[who]bool {
	line := map[uint32]bool{x.n: true}
	for _, a := range x.m.Ancestors(x.n) {
		line[a] = true
	}
	known := make(map[who]bool, len(x.m.Recipients)+len(x.d.Into))
	for i := range x.m.Recipients {
		r := &x.m.Recipients[i]
		ours := r.Parent == x.n+1
		if ours || r.Phase != state.Expanded && !line[uint32(i)] {
			known[whoIs(r.Address, r.Item)] = true
		}
	}
	return known
}

// wishes are the address of one that comes, and what reports are wanted of it.
func (x *expansion) wishes(c *route.Child) mail.Recipient {
	of := x.m.Recipients[x.n].Recipient
	switch {
	case c.Self:
		return of
	case x.list() && !x.copied:
		// A list's own matter: nothing of what the sender wished (section 5.2.7.1).
		return mail.Recipient{Address: c.Address}
	case x.copied && x.d.Handling.Errors != nil:
		return mail.Recipient{Address: c.Address}
	case x.copied:
		// The sender knows nothing of the copy, and is told nothing.
		return mail.Recipient{Address: c.Address, Notify: mail.NotifyNever}
	case x.others > 1:
		of.Notify = withoutSuccess(of.Notify) // section 5.2.7.3 (c)
	}
	if of.Original == "" && of.Address.ASCII() {
		// What the sender knows the recipient as (section 5.2.1).
		of.Original = "rfc822;" + of.Address.String()
	}
	of.Address = c.Address
	return of
}

// withoutSuccess takes out SUCCESS: what is left when that was all is that no
// report is wanted.
func withoutSuccess(n mail.Notify) mail.Notify {
	if n&mail.NotifySuccess == 0 {
		return n
	}
	if n &^= mail.NotifySuccess; n == 0 {
		return mail.NotifyNever
	}
	return n
}

// list reports whether errors are a list's own matter.
func (x *expansion) list() bool { return x.d.Handling.Errors != nil }

// report is what a sender is told who wants to know of success. One who is in
// the place of another will have it told of that one (section 5.2.7.2).
func (x *expansion) report() Report {
	switch {
	case x.copied || x.m.Recipients[x.n].Notify&mail.NotifySuccess == 0:
		return ""
	case x.list() || x.others == 0:
		return Delivered
	case x.others > 1:
		return Expanded
	}
	return ""
}

// parts are the children in groups of bounded size.
func (x *expansion) parts(children []event.Child) []*event.Expanded {
	count := uint32(len(x.m.Recipients))
	next := func() *event.Expanded {
		return &event.Expanded{Recipient: x.n, Router: x.d.Router, Count: count, Handling: x.d.Handling}
	}
	part, size := next(), 0
	parts := []*event.Expanded{part}
	for _, c := range children {
		bytes := len(c.Address.Local) + len(c.Address.Domain) + len(c.Original) + len(c.Item)
		if len(part.Into) == partSize || size > 0 && size+bytes > partBytes {
			part.More = true
			count += uint32(len(part.Into))
			part, size = next(), 0
			parts = append(parts, part)
		}
		part.Into = append(part.Into, c)
		size += bytes
	}
	part.Nobody = len(part.Into) == 0
	return parts
}
