package edit

import (
	"errors"
	"fmt"
	"strings"
	"testing"

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

// wish reads "-drop", "+add" and "old=new".
func wish(text string) *Wish {
	var w Wish
	for word := range strings.FieldsSeq(text) {
		switch old, young, both := strings.Cut(word, "="); {
		case both:
			w.Replace = append(w.Replace, Replacement{address(old), address(young)})
		case word[0] == '-':
			w.Drop = append(w.Drop, address(word[1:]))
		default:
			w.Add = append(w.Add, address(word[1:]))
		}
	}
	return &w
}

func draw(e *event.Edited) string {
	if e == nil {
		return "nothing"
	}
	s := fmt.Sprint("of ", e.Count, ": drop ", e.Drop)
	for _, a := range e.Add {
		s += fmt.Sprintf(", <%s> for %d %s %d", a.Address, a.Instead, a.Original, a.Notify)
	}
	return s
}

// What is planned for a message to a (in flight), b (wants to know of success), c
// (delivered), and twice to d, once as an alias's command.
func TestPlan(t *testing.T) {
	m := &state.Message{Recipients: []state.Recipient{
		{Recipient: mail.Recipient{Address: address("a@x")}, Phase: state.InFlight},
		{Recipient: mail.Recipient{Address: address("b@x"), Notify: mail.NotifySuccess}},
		{Recipient: mail.Recipient{Address: address("c@x")}, Phase: state.Delivered},
		{Recipient: mail.Recipient{Address: address("d@x")}},
		{Recipient: mail.Recipient{Address: address("d@x")}, Origin: state.Origin{Parent: 3, Item: "|cat"}},
	}}
	never, success := mail.NotifyNever, mail.NotifySuccess
	for _, test := range []struct {
		wish  string
		since int
		want  string
	}{
		{"-a@x -d@X", 0, "of 5: drop [0 3]"},
		{"+b@x", 0, "nothing"},
		{"+new@x +new@x", 0, fmt.Sprintf("of 5: drop [], <new@x> for 0  %d", never)},
		{"+c@x", 0, fmt.Sprintf("of 5: drop [], <c@x> for 0  %d", never)},
		{"b@x=e@x", 0, fmt.Sprintf("of 5: drop [], <e@x> for 2 rfc822;b@x %d", success)},
		{"-b@x +b@x", 0, fmt.Sprintf("of 5: drop [1], <b@x> for 0  %d", never)},
		{"-c@x", 0, "the recipients stay as they are: <c@x> is no open recipient"},
		{"a@x=e@x", 0, "the recipients stay as they are: <a@x> is being tried right now; hold the message, wait for the outcome, and say it again"},
		{"-b@x b@x=e@x", 0, "the recipients stay as they are: <b@x> is named twice"},
		{"", 0, "the recipients stay as they are: say whom to drop, to add or to replace"},
		{strings.Repeat("+n@x ", 1001), 0, "the recipients stay as they are: 1001 are named, 1000 may be"},
		// An earlier try may have been committed when there were two, or three.
		{"-c@x +c@x", 2, "nothing"},
		{"-c@x +c@x", 3, fmt.Sprintf("of 5: drop [], <c@x> for 0  %d", never)},
		{"c@x=d@x", 3, "nothing"},
	} {
		e, err := Plan(m, wish(test.wish), test.since)
		got := draw(e)
		if err != nil {
			got = err.Error()
		}
		if got != test.want || err != nil && !errors.Is(err, ErrRefused) {
			t.Errorf("%.40s since %d:\n got %s\nwant %s", test.wish, test.since, got, test.want)
		}
	}
	m.Recipients = make([]state.Recipient, mostRecipients)
	if _, err := Plan(m, wish("+one@x"), 0); !errors.Is(err, ErrRefused) {
		t.Errorf("one too many: %v", err)
	}
}
