package delivery

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"quorumta/delivery/route"
	"quorumta/delivery/site"
	"quorumta/delivery/smtpc"
	"quorumta/delivery/transport/discard"
	"quorumta/internal/mail"
	"quorumta/internal/policy"
	"quorumta/queue"
)

// lmtpHouse sends to a.example by LMTP.
func lmtpHouse(t *testing.T) *house {
	h := open(t, func(o *Options) {
		o.Transports = map[string]site.Transport{"boxes": {SMTP: smtpc.Options{Hostname: "us.example", LMTP: true}}}
	})
	h.rules(func(r *Rules) {
		r.Router = table(t, h.world,
			route.Router{Name: "reports", MX: true, If: condition(t, `rcpt.domain == "sender.example"`)},
			route.Router{Name: "boxes", Hosts: [][]string{{"a.example"}}, Transport: "boxes"})
	})
	return h
}

// After the dot each recipient has a word of its own.
func TestLMTPSettlesEachRecipient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := lmtpHouse(t)
		a, sender := h.remote("a.example"), h.remote("sender.example")
		busy := once(". busy@a.example", "452 4.2.1 locked")
		a.reply = func(line string) string {
			switch line {
			case ". full@a.example":
				return "552 5.2.2 quota"
			case "RCPT TO:<none@a.example>":
				return "550 5.1.1 who?"
			}
			return busy(line)
		}
		id := h.submit(nil, "1@a.example", "none@a.example", "full@a.example", "busy@a.example", "2@a.example")
		h.waitEmpty()
		want := "accepted claimed[0 1 2 3 4] delivered[0 4] failed[1] 550 failed[2] 552 deferred[3] 452 claimed[3] delivered[3]"
		if story := h.story(id); story != want {
			t.Errorf("got  %s\nwant %s", story, want)
		}
		if reports := sender.got(); len(reports) != 1 || !strings.Contains(reports[0].content, "552 5.2.2 quota") {
			t.Errorf("%+v", reports)
		}
	})
}

// A server that is lost between its words leaves those in doubt whom it did not
// speak of, and nobody else gets a second copy.
func TestLMTPDoubtsOnlyWhoWasNotSpokenOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := lmtpHouse(t)
		a := h.remote("a.example")
		a.reply = once(". 2@a.example", "close")
		id := h.submit(nil, "1@a.example", "2@a.example", "3@a.example")
		h.waitEmpty()
		got := a.got()
		if len(got) != 2 || len(got[1].to) != 2 {
			t.Fatalf("%+v", got)
		}
		want := "accepted claimed[0 1 2] delivered[0] doubted[1 2] deferred[1 2] 0 claimed[1 2] delivered[1 2]"
		if story := h.story(id); story != want {
			t.Errorf("got  %s\nwant %s", story, want)
		}
	})
}

// Who asked to be told of success is told of delivery: nobody relays further
// (RFC 3464, section 2.3.3).
func TestLMTPReportsDelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := lmtpHouse(t)
		h.remote("a.example")
		sender := h.remote("sender.example")
		h.submit(func(s *queue.Submission) { s.Envelope.Recipients[0].Notify = mail.NotifySuccess }, "1@a.example")
		h.waitEmpty()
		if reports := sender.got(); len(reports) != 1 || !strings.Contains(reports[0].content, "\r\nAction: delivered\r\n") {
			t.Errorf("%+v", reports)
		}
	})
}

// A transport without hosts is routed to, claimed and recorded as all others.
func TestAcceptToATransport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, nil)
		h.rules(func(r *Rules) {
			r.Router = table(t, h.world, route.Router{Name: "nowhere", Accept: "nowhere"})
			r.Transports = map[string]site.Transport{"nowhere": {Local: discard.Transport{}}}
		})
		id := h.submit(nil, "1@a.example", "2@b.example")
		h.waitEmpty()
		if story := h.story(id); story != "accepted claimed[0 1] delivered[0 1]" {
			t.Error(story)
		}
	})
}

// A transport that takes one recipient at a time gets them so, and at once.
func TestOneRecipientAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, nil)
		h.rules(func(r *Rules) {
			r.Router = table(t, h.world, route.Router{Name: "nowhere", Accept: "nowhere"})
			r.Transports = map[string]site.Transport{"nowhere": {Local: discard.Transport{}, Recipients: 1}}
		})
		h.submit(nil, "0@a.example")
		h.waitEmpty() // a process waits for what may be suspended, once
		begun := time.Now()
		id := h.submit(nil, "1@a.example", "2@a.example", "3@b.example")
		h.waitEmpty()
		story := h.story(id)
		for _, word := range []string{"claimed[0]", "claimed[1]", "claimed[2]", "delivered[0]", "delivered[1]", "delivered[2]"} {
			if !strings.Contains(story, word) {
				t.Errorf("%s: no %s", story, word)
			}
		}
		if took := time.Since(begun); took > 100*time.Millisecond {
			t.Errorf("it took %v", took)
		}
	})
}

// Mail waits for a transport that a reload took away.
func TestATransportThatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, nil)
		h.rules(func(r *Rules) {
			r.Router = table(t, h.world, route.Router{Name: "nowhere", Accept: "nowhere"})
		})
		id := h.submit(nil, "1@a.example")
		h.waitFor("it is deferred", func() bool { return h.story(id) == "accepted deferred[0] 0" })
		h.rules(func(r *Rules) {
			r.Transports = map[string]site.Transport{"nowhere": {Local: discard.Transport{}}}
		})
		h.waitEmpty()
	})
}

func condition(t *testing.T, expr string) *policy.Condition {
	t.Helper()
	env, err := policy.NewEnv(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := env.Condition(expr)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
