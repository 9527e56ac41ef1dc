package delivery

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"quorumta/delivery/route"
	"quorumta/internal/mail"
	"quorumta/internal/policy"
	"quorumta/queue"
	"quorumta/queue/event"
)

// alias is a router that puts others in the place of a local-part.
func alias(t testing.TB, local, items string) route.Router {
	t.Helper()
	env, err := policy.NewEnv(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	condition, err := env.Condition(fmt.Sprintf("rcpt.local == %q", local))
	if err != nil {
		t.Fatal(err)
	}
	data, err := env.Text(items)
	if err != nil {
		t.Fatal(err)
	}
	return route.Router{Name: "alias-" + local, If: condition, Redirect: &route.Redirect{Data: data}}
}

func errorsTo(t testing.TB, r route.Router, expr string) route.Router {
	t.Helper()
	env, err := policy.NewEnv(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.Say.Errors, err = env.Text(expr); err != nil {
		t.Fatal(err)
	}
	return r
}

// internet is the router behind the others.
func internet() route.Router { return route.Router{Name: "internet", MX: true} }

// receivers are those that a remote was told, over all letters, sorted.
func receivers(r *remote) string {
	var all []string
	for _, l := range r.got() {
		all = append(all, l.to...)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// TestAliases: others come in a recipient's place, over several steps, each of
// them once, and what is said of nobody ends the message.
func TestAliases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, nil)
		h.rules(func(r *Rules) {
			r.Router = table(t, h.world,
				alias(t, "team", `"ann@a.example, bob@a.example, more@a.example, team@a.example"`),
				alias(t, "more", `"bob@a.example, cid@a.example, team@a.example"`),
				alias(t, "void", `":blackhole:"`), alias(t, "gone", `":fail: 550 5.7.1 left"`), internet())
		})
		a := h.remote("a.example")
		h.remote("sender.example")
		h.submit(nil, "team@a.example", "cid@a.example")
		h.submit(nil, "void@a.example")
		failed := h.submit(nil, "gone@a.example")
		h.waitEmpty()
		if got := receivers(a); got != "ann@a.example bob@a.example cid@a.example team@a.example" {
			t.Errorf("delivered to %s", got)
		}
		if got := h.story(failed); got != "accepted failed[0] 550" {
			t.Errorf("story %s", got)
		}
	})
}

// TestLists: errors of a list's members are its owner's, and so is the
// reverse-path; what the sender wished of reports is not passed on.
func TestLists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, nil)
		h.rules(func(r *Rules) {
			r.Router = table(t, h.world, errorsTo(t, alias(t, "list", `"ann@a.example, bob@b.example, cid@none.example"`), `"owner@o.example"`), internet())
		})
		a, b, owner, sender := h.remote("a.example"), h.remote("b.example"), h.remote("o.example"), h.remote("sender.example")
		for _, r := range []*remote{a, b, owner, sender} {
			r.ehlo = []string{"PIPELINING", "8BITMIME", "DSN"}
		}
		b.reply = always("RCPT", "550 5.1.1 unknown")
		h.submit(func(s *queue.Submission) {
			s.Envelope.EnvID, s.Envelope.Return = "id1", mail.ReturnFull
			s.Envelope.Recipients[0].Notify = mail.NotifySuccess | mail.NotifyFailure
		}, "list@l.example")
		h.waitEmpty()
		if l := a.got(); len(l) != 1 || !strings.HasPrefix(l[0].from, "MAIL FROM:<owner@o.example>") || strings.Contains(l[0].from, "ENVID") || strings.Contains(l[0].from, "RET") {
			t.Errorf("the member got %+v", l)
		}
		told := owner.got()
		var text string
		for _, l := range told {
			text += l.content
		}
		if len(told) != 2 || !strings.Contains(text, "bob@b.example") || !strings.Contains(text, "cid@none.example") || strings.Contains(text, "Original-Envelope-Id") {
			t.Errorf("the owner got %d reports:\n%s", len(told), text)
		}
		got := sender.got()
		if len(got) != 1 || !strings.Contains(got[0].content, "Action: delivered") || !strings.Contains(got[0].content, "list@l.example") || strings.Contains(got[0].content, "bob@") {
			t.Errorf("the sender got %+v", got)
		}
	})
}

// TestNobodyIsTold: with the null address for errors a failure is silent.
func TestNobodyIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, nil)
		h.rules(func(r *Rules) {
			quiet := errorsTo(t, internet(), `""`)
			r.Router = table(t, h.world, quiet)
		})
		a, sender := h.remote("a.example"), h.remote("sender.example")
		a.reply = func(line string) string {
			if strings.HasPrefix(line, "RCPT TO:<bad") {
				return "550 5.1.1 unknown"
			}
			return ""
		}
		id := h.submit(nil, "good@a.example", "bad@a.example")
		h.waitEmpty()
		if l := a.got(); len(l) != 1 || !strings.HasPrefix(l[0].from, "MAIL FROM:<>") {
			t.Errorf("got %+v", l)
		}
		if got := h.story(id); len(sender.got()) != 0 || strings.Contains(got, "report") {
			t.Errorf("story %s, %d reports", got, len(sender.got()))
		}
	})
}

// TestErrorsOfTheLastRouter: the router that delivers has the last word on who is
// told of failures, ours and others', as on the reverse-path: not a list that the
// recipient came from, and not the postmaster where nobody is to be told.
func TestErrorsOfTheLastRouter(t *testing.T) {
	for _, c := range []struct{ name, to, from, told string }{
		{"named", `"manager@m.example"`, "MAIL FROM:<manager@m.example>", "manager"},
		{"nobody", `""`, "MAIL FROM:<>", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := open(t, nil)
				h.rules(func(r *Rules) {
					r.DSN.DoubleBounces, r.DSN.Postmaster = true, mail.Address{Local: "postmaster", Domain: "p.example"}
					r.Router = table(t, h.world,
						errorsTo(t, alias(t, "list", `"ann@a.example, bad@a.example"`), `"owner@o.example"`),
						errorsTo(t, internet(), fmt.Sprintf(`rcpt.domain == "a.example" ? %s : sender.address`, c.to)))
				})
				a := h.remote("a.example")
				a.reply = func(line string) string {
					if strings.HasPrefix(line, "RCPT TO:<bad") {
						return "550 5.1.1 unknown"
					}
					return ""
				}
				others := map[string]*remote{}
				for name, domain := range map[string]string{"owner": "o.example", "manager": "m.example", "sender": "sender.example", "postmaster": "p.example"} {
					others[name] = h.remote(domain)
				}
				h.submit(nil, "list@l.example")
				h.waitEmpty()
				if l := a.got(); len(l) != 1 || !strings.HasPrefix(l[0].from, c.from) {
					t.Errorf("the member got %+v", l)
				}
				for name, r := range others {
					want := 0
					if name == c.told {
						want = 1
					}
					if got := r.got(); len(got) != want {
						t.Errorf("%s has %d reports, not %d: %+v", name, len(got), want, got)
					}
				}
			})
		})
	}
}

// TestExpandedReport: one who wants to know is told that an alias was expanded,
// once, and of nobody's success (RFC 3461, section 5.2.7.3 c).
func TestExpandedReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, nil)
		h.rules(func(r *Rules) {
			r.Router = table(t, h.world, alias(t, "two", `"ann@a.example, bob@a.example"`), internet())
		})
		h.remote("a.example")
		sender := h.remote("sender.example")
		h.submit(func(s *queue.Submission) { s.Envelope.Recipients[0].Notify = mail.NotifySuccess }, "two@l.example")
		h.waitEmpty()
		got := sender.got()
		if len(got) != 1 || !strings.Contains(got[0].content, "Action: expanded") || !strings.Contains(got[0].content, "Final-Recipient: rfc822; two@l.example") {
			t.Errorf("got %+v", got)
		}
	})
}

// TestLargeList: a list of very many members comes in parts, and to each once.
func TestLargeList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, nil)
		const members = 2500
		var items []string
		for n := range members {
			items = append(items, fmt.Sprintf("m%d@a.example", n))
		}
		list := alias(t, "list", `client.login`)
		h.rules(func(r *Rules) { r.Router = table(t, h.world, list, internet()) })
		a := h.remote("a.example")
		id := h.submit(func(s *queue.Submission) { s.Client.Login = strings.Join(items, ",") }, "list@l.example")
		h.waitEmpty()
		slices.Sort(items)
		if got := receivers(a); got != strings.Join(items, " ") {
			t.Errorf("%d of %d members, or others", len(strings.Fields(got)), members)
		}
		if got := strings.Count(h.story(id), "expanded"); got != members/500 {
			t.Errorf("%d parts", got)
		}
	})
}

// TestTooManyAliases: a recipient whose place too many would take waits.
func TestAliasesThatNeverEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, nil)
		grow := alias(t, "x", `""`)
		env, err := policy.NewEnv(nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if grow.Redirect.Data, err = env.Text(`rcpt.domain.size() > 500 ? "" : "x@x" + rcpt.domain`); err != nil {
			t.Fatal(err)
		}
		h.rules(func(r *Rules) { r.Router = table(t, h.world, grow, internet()) })
		id := h.submit(nil, "x@a.example")
		h.waitFor("the recipient waits", func() bool { return strings.HasSuffix(h.story(id), "deferred[31] 451") })
	})
}

// TestHeadersSaid: what routers say of the header goes out, for those of whom it
// was said.
func TestHeadersSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, nil)
		env, err := policy.NewEnv(nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		list := alias(t, "list", `"ann@a.example"`)
		field, err := env.Text(`"X-List: " + rcpt.local`)
		if err != nil {
			t.Fatal(err)
		}
		list.Say.Add, list.Say.Remove = []*policy.Text{field}, []string{"Sub*"}
		h.rules(func(r *Rules) { r.Router = table(t, h.world, list, internet()) })
		a := h.remote("a.example")
		h.submit(nil, "list@a.example", "bob@a.example")
		h.waitEmpty()
		for _, l := range a.got() {
			said := strings.Contains(l.content, "X-List: list\r\n") && !strings.Contains(l.content, "Subject:")
			plain := !strings.Contains(l.content, "X-List") && strings.Contains(l.content, "Subject:")
			if len(l.to) != 1 || l.to[0] == "ann@a.example" && !said || l.to[0] == "bob@a.example" && !plain {
				t.Errorf("%v got %q", l.to, l.content)
			}
		}
		if got := receivers(a); got != "ann@a.example bob@a.example" {
			t.Errorf("delivered to %s", got)
		}
	})
}

// TestExpansionGoesOnAfterATakeover: a node has died between the parts of an
// expansion, and the next one finds what it left: the rest comes, nobody twice.
// What the dead one still has to say is refused.
func TestExpansionGoesOnAfterATakeover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, nil)
		h.rules(func(r *Rules) {
			r.Router = table(t, h.world, alias(t, "list", `":defer: the old node is about to expand it"`), internet())
		})
		a := h.remote("a.example")
		id := h.submit(nil, "list@l.example", "other@a.example")
		h.waitFor("the list waits", func() bool { return strings.Contains(h.story(id), "deferred") && len(a.got()) == 1 })
		child := func(n int) event.Child {
			return event.Child{Recipient: mail.Recipient{Address: address(fmt.Sprintf("m%d@a.example", n))}}
		}
		part := func(count uint32, members ...int) *event.Expanded {
			e := &event.Expanded{Recipient: 0, Router: "alias-list", Count: count, More: true}
			for _, n := range members {
				e.Into = append(e.Into, child(n))
			}
			return e
		}
		say := func(e *event.Expanded) {
			t.Helper()
			if err := h.Resolve(t.Context(), queue.Outcome{ID: id, Events: []event.Event{e}}); err != nil {
				t.Fatal(err)
			}
		}
		say(part(2, 0, 1, 2))
		h.waitFor("the first part is delivered", func() bool { return receivers(a) == "m0@a.example m1@a.example m2@a.example other@a.example" })
		h.rules(func(r *Rules) {
			r.Router = table(t, h.world, alias(t, "list", `"m0@a.example, m1@a.example, m2@a.example, m3@a.example, m4@a.example, other@a.example"`), internet())
		})
		h.waitFor("the rest", func() bool { return strings.Contains(receivers(a), "m4@a.example") })
		say(part(5, 3, 4)) // late, by a leader that was deposed
		h.waitEmpty()
		if got := receivers(a); got != "m0@a.example m1@a.example m2@a.example m3@a.example m4@a.example other@a.example" {
			t.Errorf("delivered to %s", got)
		}
		if got := strings.Count(h.story(id), "expanded"); got != 2 {
			t.Errorf("%d parts on record", got)
		}
	})
}

// TestJournal: a copy goes to the journal, and the recipient gets its mail as if
// there were none; of the copy the sender is told nothing.
func TestJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, nil)
		journal := alias(t, "bob", `"journal@j.example"`)
		journal.Redirect.Unseen = true
		h.rules(func(r *Rules) { r.Router = table(t, h.world, journal, internet()) })
		a, j, sender := h.remote("a.example"), h.remote("j.example"), h.remote("sender.example")
		j.reply = always("RCPT", "550 5.1.1 the journal is full")
		h.submit(nil, "bob@a.example", "ann@a.example")
		h.waitEmpty()
		j.change(func(r *remote) { r.reply = nil })
		h.submit(func(s *queue.Submission) { s.Envelope.Recipients[0].Notify = mail.NotifySuccess }, "bob@a.example")
		h.waitEmpty()
		if got := receivers(a); got != "ann@a.example bob@a.example bob@a.example" {
			t.Errorf("delivered to %s", got)
		}
		if got := receivers(j); got != "journal@j.example" {
			t.Errorf("the journal got %q", got)
		}
		told := sender.got()
		if len(told) != 1 || !strings.Contains(told[0].content, "bob@a.example") || strings.Contains(told[0].content, "journal") {
			t.Errorf("the sender was told %+v", told)
		}
	})
}
