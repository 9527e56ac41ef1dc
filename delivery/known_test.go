package delivery

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"quorumta/delivery/memory"
	"quorumta/delivery/retry"
	"quorumta/internal/mail"
	"quorumta/queue/event"
)

// knocks counts connections that were refused.
func (r *remote) knocks() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.refused
}

// TestMailWaitsForABadHost: of a host that is known to be bad new mail does not
// ask; when it is due one message tries for all; and when it works again what
// waits goes at once, not at its own time.
func TestMailWaitsForABadHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, func(o *Options) { o.Rules.Retry = every(t, 2*time.Hour, 96*time.Hour) })
		dead := h.remote("dead.example")
		dead.refuse = true
		first := h.submit(nil, "first@dead.example")
		time.Sleep(30 * time.Minute)
		before := dead.knocks()
		var ids []mail.MessageID
		for i := range 50 {
			ids = append(ids, h.submit(nil, fmt.Sprint(i, "@dead.example")))
		}
		time.Sleep(time.Hour)
		if n := dead.knocks(); n != before {
			t.Errorf("%d connections to a host that is known to be bad", n-before)
		}
		if story := h.story(ids[7]); !strings.HasSuffix(story, "accepted deferred[0] 0") {
			t.Error(story)
		}
		dead.change(func(r *remote) { r.refuse = false })
		began := time.Now()
		h.waitEmpty()
		if took := time.Since(began); took > 31*time.Minute || len(dead.got()) != 51 {
			t.Errorf("%d messages after %v", len(dead.got()), took)
		}
		if story := h.story(first); strings.Count(story, "deferred[0]") != 1 {
			t.Error(story)
		}
	})
}

// TestFlush: whoever finds a host working, what waits for it at this node is due
// at once; what waits for another is not.
func TestFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := memory.New(memory.Options{Name: "n1"})
		h := open(t, func(o *Options) {
			o.Rules.Retry = every(t, 2*time.Hour, 96*time.Hour)
			o.Memory = book
		})
		back, away := h.remote("back.example"), h.remote("away.example")
		back.refuse, away.refuse = true, true
		h.submit(nil, "1@back.example", "1@away.example")
		h.submit(nil, "2@back.example")
		time.Sleep(10 * time.Minute)
		back.change(func(r *remote) { r.refuse = false })
		away.change(func(r *remote) { r.refuse = false })
		if len(back.got()) != 0 {
			t.Fatal("tried too early for this test")
		}
		key := memory.Host("back.example", "192.0.2.1:25")
		now := time.Now()
		_, err := book.Hear(t.Context(), memory.Batch{Entries: []memory.Entry{{Key: key, Gone: true, With: []memory.Key{key}, Failure: memory.Failure{Last: now, Node: "n2"}}}})
		if err != nil {
			t.Fatal(err)
		}
		h.waitFor("the mail is there", func() bool { return len(back.got()) == 2 })
		if took := time.Since(now); took > time.Minute {
			t.Errorf("after %v", took)
		}
		time.Sleep(time.Hour)
		if len(away.got()) != 0 {
			t.Error("what waits for another host was tried as well")
		}
	})
}

// TestPastTheCutoff: what comes for a host that has been bad for the rule's whole
// time fails at once, but for one that tries in each interval; with
// TryAfterCutoff each message is tried once.
func TestPastTheCutoff(t *testing.T) {
	for _, each := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			h := open(t, func(o *Options) {
				o.Rules.Retry = ruled(t, retry.Options{TryAfterCutoff: each}, retry.Step{Letter: 'F', Cutoff: time.Hour, Interval: 30 * time.Minute, Factor: 1})
			})
			dead := h.remote("dead.example")
			h.remote("sender.example")
			dead.refuse = true
			h.submit(nil, "first@dead.example")
			h.waitEmpty() // it has expired
			time.Sleep(time.Minute)
			before := dead.knocks()
			for i := range 10 {
				id := h.submit(nil, fmt.Sprint(i, "@dead.example"))
				h.waitFor("it has ended", func() bool { return strings.Contains(h.story(id), "expired[0]") })
			}
			if n := dead.knocks() - before; n > 0 && !each || n < 10 && each {
				t.Errorf("%d connections; each is tried: %v", n, each)
			}
			time.Sleep(30 * time.Minute)
			dead.change(func(r *remote) { r.refuse = false })
			h.submit(nil, "probe@dead.example")
			h.submit(nil, "next@dead.example")
			h.waitFor("both are there", func() bool { return len(dead.got()) == 2 })
		})
	}
}

// TestAddressesAreRemembered: the rule's time is that of the address, whatever
// message fails; each new one is tried, and a success ends it.
func TestAddressesAreRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, func(o *Options) { o.Rules.Retry = every(t, 20*time.Minute, time.Hour) })
		a := h.remote("a.example")
		h.remote("sender.example")
		full := true
		a.reply = func(line string) string {
			if full && strings.HasPrefix(line, "RCPT TO:<full") {
				return "452 4.2.2 full"
			}
			return ""
		}
		h.submit(nil, "full@a.example")
		h.waitEmpty()
		id := h.submit(nil, "full@a.example", "other@a.example")
		h.waitEmpty()
		if story := h.story(id); !strings.Contains(story, "claimed[0 1]") || !strings.Contains(story, "delivered[1]") || !strings.Contains(story, "expired[0] 452") || strings.Contains(story, "deferred") {
			t.Error(story)
		}
		a.change(func(*remote) { full = false })
		h.submit(nil, "full@a.example")
		h.waitEmpty()
		a.change(func(*remote) { full = true })
		id = h.submit(nil, "full@a.example")
		time.Sleep(time.Minute)
		if story := h.story(id); !strings.HasSuffix(story, "deferred[0] 452") {
			t.Errorf("a success did not end it: %s", story)
		}
	})
}

// TestLastTry: a message that has come to the end of its own time is tried once
// more, though its host is known to be bad and not due.
func TestLastTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := memory.New(memory.Options{Name: "n1"})
		h := open(t, func(o *Options) {
			o.Rules.Retry = every(t, time.Hour, 2*time.Hour)
			o.Memory = book
		})
		a := h.remote("a.example")
		reply := "451 4.3.0 later"
		a.reply = func(line string) string {
			if strings.HasPrefix(line, "MAIL") {
				return reply
			}
			return ""
		}
		id := h.submit(nil, "1@a.example") // its own time begins
		time.Sleep(90 * time.Minute)
		key := memory.Host("a.example", "192.0.2.1:25")
		book.Failed(key, event.ErrorRefused, mail.Reply{Text: "connection refused"})
		book.Wait([]memory.Key{key}, time.Now().Add(10*time.Hour), false)
		time.Sleep(20 * time.Minute)
		a.change(func(*remote) { reply = "" })
		other := h.submit(nil, "2@a.example")
		h.waitFor("the first has ended", func() bool { return strings.HasSuffix(h.story(id), "delivered[0]") })
		if story := h.story(other); !strings.HasPrefix(story, "accepted deferred[0] 0 ") {
			t.Errorf("the host was not known to be bad: %s", story)
		}
	})
}
