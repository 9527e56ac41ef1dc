package expand

import (
	"fmt"
	"strings"
	"testing"

	"quorumta/delivery/route"
	"quorumta/internal/mail"
	"quorumta/queue/event"
	"quorumta/queue/state"
)

func address(s string) mail.Address {
	a, err := mail.ParseAddress(s)
	if err != nil {
		panic(err)
	}
	return a
}

// message has recipients "address phase parent", the parent by its index.
func message(notify mail.Notify, list ...string) *state.Message {
	m := &state.Message{}
	for _, text := range list {
		var to, phase string
		parent := -1
		_, _ = fmt.Sscan(text, &to, &phase, &parent)
		r := state.Recipient{Recipient: mail.Recipient{Address: address(to), Notify: notify}}
		r.Parent = uint32(parent + 1)
		if phase == "expanded" {
			r.Phase = state.Expanded
		}
		if phase == "delivered" {
			r.Phase = state.Delivered
		}
		m.Recipients = append(m.Recipients, r)
	}
	return m
}

func into(list ...string) *route.Decision {
	d := &route.Decision{Kind: route.Expand, Router: "r"}
	for _, to := range list {
		c := route.Child{}
		to, c.Self = strings.CutSuffix(to, " self")
		to, c.Item, _ = strings.Cut(to, "=")
		c.Address = address(to)
		d.Into = append(d.Into, c)
	}
	return d
}

func show(f Facts) string {
	var out []string
	for _, p := range f.Parts {
		s := fmt.Sprintf("%d at %d", p.Recipient, p.Count)
		if p.More {
			s += " and more"
		}
		if p.Nobody {
			s += " by nobody"
		}
		for _, c := range p.Into {
			s += fmt.Sprintf(", %s%s/%d/%s", c.Address, c.Item, c.Notify, c.Original)
			if c.Apart {
				s += "/apart"
			}
		}
		out = append(out, s)
	}
	return strings.Join(append(out, string(f.Report)), "; ")
}

// TestWishes: what reports are wanted of those in another's place (RFC 3461,
// section 5.2.7).
func TestWishes(t *testing.T) {
	const success, all = mail.NotifySuccess, mail.NotifySuccess | mail.NotifyFailure
	owner := address("owner@x.example")
	for _, test := range []struct {
		name   string
		notify mail.Notify
		d      *route.Decision
		errors *mail.Address
		want   string
	}{
		{"one", success, into("b@x.example"), nil, "0 at 1, b@x.example/2/rfc822;a@x.example; "},
		{"several", success, into("b@x.example", "c@x.example"), nil, "0 at 1, b@x.example/1/rfc822;a@x.example, c@x.example/1/rfc822;a@x.example; expanded"},
		{"several, other wishes", all, into("b@x.example", "c@x.example"), nil, "0 at 1, b@x.example/4/rfc822;a@x.example, c@x.example/4/rfc822;a@x.example; expanded"},
		{"several, no wishes", 0, into("b@x.example", "c@x.example"), nil, "0 at 1, b@x.example/0/rfc822;a@x.example, c@x.example/0/rfc822;a@x.example; "},
		{"a list", all, into("b@x.example", "c@x.example"), &owner, "0 at 1, b@x.example/0/, c@x.example/0/; delivered"},
		{"a list of one", mail.NotifyNever, into("b@x.example"), &owner, "0 at 1, b@x.example/0/; "},
		{"nobody", success, into(), nil, "0 at 1 by nobody; delivered"},
		{"nobody, no wishes", 0, into(), nil, "0 at 1 by nobody; "},
		{"a command", success, into("a@x.example=|cat"), nil, "0 at 1, a@x.example|cat/2/rfc822;a@x.example; "},
		{"a copy", all, into("j@x.example", "a@x.example self"), nil, "0 at 1, j@x.example/1/, a@x.example/6//apart; "},
		{"a copy with a keeper", all, into("j@x.example", "a@x.example self"), &owner, "0 at 1, j@x.example/0/, a@x.example/6//apart; "},
	} {
		test.d.Handling.Errors = test.errors
		f, err := Of(message(test.notify, "a@x.example pending"), 0, test.d)
		if got := show(f); err != nil || got != test.want {
			t.Errorf("%s: got %s, %v; want %s", test.name, got, err, test.want)
		}
	}
	m := message(success, "a@x.example pending")
	m.Recipients[0].Original = "rfc822;first@x.example"
	if f, _ := Of(m, 0, into("b@x.example")); f.Parts[0].Into[0].Original != "rfc822;first@x.example" {
		t.Errorf("what the sender called it is lost: %+v", f.Parts[0].Into[0])
	}
}

// TestNobodyGetsItTwice: whoever is a recipient already does not come again,
// under whatever name.
func TestNobodyGetsItTwice(t *testing.T) {
	for _, test := range []struct {
		name string
		m    *state.Message
		n    uint32
		d    *route.Decision
		want string
	}{
		{"twice in the list", message(0, "a@x.example pending"), 0, into("b@x.example", "B@x.example"), "b@x.example"},
		{"one of the envelope", message(0, "a@x.example pending", "b@x.example delivered"), 0, into("b@x.example", "c@x.example"), "c@x.example"},
		{"all of them", message(0, "a@x.example pending", "b@x.example delivered"), 0, into("b@x.example"), ""},
		{"one that stands for others", message(0, "a@x.example pending", "b@x.example expanded"), 0, into("b@x.example"), "b@x.example"},
		{"itself", message(0, "a@x.example pending"), 0, into("a@x.example", "b@x.example"), "a@x.example b@x.example"},
		{"an ancestor", message(0, "a@x.example expanded", "b@x.example pending 0"), 1, into("a@x.example"), "a@x.example"},
		{"the beginning of this expansion", message(0, "a@x.example pending", "b@x.example expanded 0", "c@x.example delivered 1"), 0, into("b@x.example", "d@x.example"), "d@x.example"},
		{"one command for two", message(0, "a@x.example pending"), 0, into("a@x.example=|cat", "a@x.example=|cat", "a@x.example=|dog"), "a@x.example a@x.example"},
	} {
		f, err := Of(test.m, test.n, test.d)
		var got []string
		for _, c := range f.Parts[0].Into {
			got = append(got, c.Address.String())
		}
		if strings.Join(got, " ") != test.want || err != nil || f.Parts[0].Nobody != (test.want == "") {
			t.Errorf("%s: got %v, %v; want %s", test.name, got, err, test.want)
		}
	}
}

// TestParts: a large list comes in parts that each fit an entry.
func TestParts(t *testing.T) {
	var list []string
	for n := range 1200 {
		list = append(list, fmt.Sprintf("user%d@x.example", n))
	}
	d := into(list...)
	d.Handling.Data = "list"
	f, err := Of(message(mail.NotifySuccess, "a@x.example pending", "b@x.example pending"), 1, d)
	if err != nil || len(f.Parts) != 3 || f.Count() != 1200 || f.Report != Expanded {
		t.Fatalf("%d parts, %d recipients, %q, %v", len(f.Parts), f.Count(), f.Report, err)
	}
	count := uint32(2)
	for i, p := range f.Parts {
		if p.Count != count || p.Recipient != 1 || p.More != (i < 2) || p.Handling.Data != "list" || p.Router != "r" {
			t.Errorf("part %d: %+v", i, *p)
		}
		count += uint32(len(p.Into))
	}
	long := into()
	for n := range 400 {
		long.Into = append(long.Into, route.Child{Address: mail.Address{Local: fmt.Sprint(n), Domain: strings.Repeat("x", 250)}})
	}
	f, err = Of(message(0, "a@x.example pending"), 0, long)
	if err != nil || len(f.Parts) != 2 || f.Count() != 400 {
		t.Errorf("long addresses: %d parts, %v", len(f.Parts), err)
	}
	for _, p := range f.Parts {
		if size := len(event.Append(nil, event.Entry{Groups: []event.Group{{Events: []event.Event{p}}}})); size > 128<<10 {
			t.Errorf("a part has %d bytes", size)
		}
	}
}

func TestThereIsALimit(t *testing.T) {
	d := &route.Decision{}
	for n := range Most + 1 {
		d.Into = append(d.Into, route.Child{Address: mail.Address{Local: fmt.Sprint(n), Domain: "x"}})
	}
	if _, err := Of(message(0, "a@x.example pending"), 0, d); err == nil || !strings.Contains(err.Error(), "too many") {
		t.Errorf("got %v", err)
	}
}
