package delivery

import (
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"quorumta/delivery/explain"
	"quorumta/delivery/limit"
	"quorumta/delivery/order"
	"quorumta/queue"
)

// suspend orders that mail waits, and waits until delivery knows.
func (h *house) suspend(s order.Subject, name string) {
	h.t.Helper()
	if err := h.NoteBy(h.t.Context(), queue.Note{Key: order.Key(s, name), By: "op", Why: "test"}); err != nil {
		h.t.Fatal(err)
	}
	time.Sleep(time.Second) // of virtual time
}

func (h *house) resume(s order.Subject, name string) {
	h.t.Helper()
	if err := h.Unnote(h.t.Context(), order.Key(s, name), "op", "test"); err != nil {
		h.t.Fatal(err)
	}
}

// Mail that an order is about is not claimed, and goes when the order has ended:
// no step of a retry rule is used up. Other mail goes.
func TestWhatIsSuspendedWaits(t *testing.T) {
	tests := []struct {
		subject order.Subject
		name    string
		change  func(*queue.Submission)
	}{
		{order.Site, "", nil},
		{order.Domain, "A.example", nil},
		{order.Sender, "sender@sender.example", nil},
		{order.Sender, "sender.example", nil},
		{order.Login, "app1", func(s *queue.Submission) { s.Client.Login = "app1" }},
	}
	for _, tt := range tests {
		t.Run(string(tt.subject)+" "+tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := open(t, nil)
				a, b := h.remote("a.example"), h.remote("b.example")
				if tt.subject == order.Site {
					tt.name = siteOf(h, "1@a.example")
				}
				h.suspend(tt.subject, tt.name)
				before := len(a.got())
				id := h.submit(tt.change, "1@a.example")
				h.submit(func(s *queue.Submission) { s.Envelope.From = address("other@other.example") }, "1@b.example")
				h.waitFor("other mail goes", func() bool { return len(b.got()) == 1 })
				time.Sleep(30 * time.Second) // of virtual time: sweeps come and go
				if story := h.story(id); story != "accepted" || len(a.got()) != before {
					t.Fatalf("%s; %d messages", story, len(a.got()))
				}
				why, _ := h.delivery.Explain(id)
				if want := string(tt.subject) + " " + order.Name(tt.name) + " is suspended by op: test"; len(why) != 1 || why[0].For != explain.ForOrder || why[0].Why != want {
					t.Errorf("explained by %+v, want %q", why, want)
				}
				began := time.Now()
				h.resume(tt.subject, tt.name)
				h.waitFor("it goes", func() bool { return len(a.got()) > before })
				if waited := time.Since(began); waited > 2*time.Second {
					t.Errorf("it went after %v", waited)
				}
				if story := h.story(id); strings.Contains(story, "deferred") || strings.Contains(story, "returned") {
					t.Error(story)
				}
			})
		})
	}
}

// siteOf has a message delivered and names a host of its site.
func siteOf(h *house, to string) string {
	h.submit(nil, to)
	h.waitEmpty()
	for _, s := range h.delivery.sites.All() {
		if _, hosts := s.Names(); len(hosts) > 0 {
			return strings.ToUpper(hosts[0])
		}
	}
	h.t.Fatal("no site")
	return ""
}

// A recipient whose mail waits does not keep the others of the message.
func TestOthersOfAMessageGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, nil)
		a, b := h.remote("a.example"), h.remote("b.example")
		h.suspend(order.Domain, "a.example")
		h.submit(nil, "1@a.example", "1@b.example")
		h.waitFor("the other goes", func() bool { return len(b.got()) == 1 })
		h.resume(order.Domain, "a.example")
		h.waitEmpty()
		if len(a.got()) != 1 || len(b.got()) != 1 {
			t.Errorf("%d and %d messages", len(a.got()), len(b.got()))
		}
	})
}

// What a server answers has the consequences that the site's rule names, for as
// long as it says.
func TestAnswersTeach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, nil)
		h.rules(func(r *Rules) {
			r.Sites = func(limit.Place) (site, address *limit.Rule) {
				return &limit.Rule{Name: "all", Patterns: []limit.Pattern{
					{Match: regexp.MustCompile(`^421 .*slow down`), For: time.Hour, Suspend: true},
				}}, nil
			}
			r.Retry = every(t, time.Minute, 24*time.Hour)
		})
		a := h.remote("a.example")
		a.reply = once("MAIL", "421 4.7.0 please slow down")
		began := time.Now()
		h.submit(nil, "1@a.example")
		h.waitFor("it is learnt", func() bool { return len(h.Notes(order.Lessons)) == 1 })
		n := h.Notes(order.Lessons)[0]
		if !strings.Contains(n.Value, `"reply":"421 4.7.0 please slow down"`) || !strings.Contains(n.Value, `"rule":"all"`) {
			t.Errorf("%+v", n)
		}
		second := h.submit(nil, "2@a.example")
		h.waitFor("it waits, and is told why", func() bool {
			why, _ := h.delivery.Explain(second)
			return len(why) == 1 && why[0].For == explain.ForOrder && strings.Contains(why[0].Why, "rule all suspends the site for its answer 421 4.7.0 please slow down")
		})
		h.waitEmpty()
		if took := time.Since(began); took < time.Hour || took > 2*time.Hour {
			t.Errorf("it took %v", took)
		}
		if story := h.story(second); strings.Contains(story, "deferred") {
			t.Error(story)
		}
	})
}
