package delivery

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"quorumta/delivery/route"
	"quorumta/internal/mail"
	"quorumta/queue"
	"quorumta/queue/event"
)

func TestDelivers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, nil)
		a, b := h.remote("a.example"), h.remote("b.example")
		id := h.submit(nil, "1@a.example", "2@b.example", "3@a.example")
		h.waitEmpty()
		got := a.got()
		if len(got) != 1 || len(got[0].to) != 2 || len(b.got()) != 1 {
			t.Fatalf("%+v %+v", got, b.got())
		}
		if want := "Received: id " + string(id) + "\r\nSubject: test\r\n\r\n.dot\r\n"; got[0].content != want {
			t.Errorf("%q", got[0].content)
		}
		story := h.story(id)
		for _, word := range []string{"claimed[0 2]", "claimed[1]", "delivered[0 2]", "delivered[1]"} {
			if !strings.Contains(story, word) {
				t.Errorf("%s: no %s", story, word)
			}
		}
	})
}

func TestConnectionsCarryManyMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, nil)
		a := h.remote("a.example")
		for i := range 200 {
			h.submit(nil, fmt.Sprint(i, "@a.example"))
		}
		h.waitEmpty()
		if n := len(a.got()); n != 200 || a.connections > 40 {
			t.Errorf("%d messages over %d connections", n, a.connections)
		}
	})
}

func TestRecipientsHaveTheirOwnReplies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, nil)
		a, sender := h.remote("a.example"), h.remote("sender.example")
		a.reply = always("RCPT TO:<never", "550 5.1.1 who?")
		id := h.submit(nil, "ok@a.example", "never@a.example")
		h.waitEmpty()
		if story := h.story(id); !strings.Contains(story, "delivered[0] failed[1] 550") {
			t.Error(story)
		}
		reports := sender.got()
		if len(reports) != 1 || !strings.HasPrefix(reports[0].from, "MAIL FROM:<>") {
			t.Fatalf("%+v", reports)
		}
		if c := reports[0].content; !strings.Contains(c, "never@a.example") || strings.Contains(c, "rfc822; ok@a.example") {
			t.Errorf("%s", c)
		}
	})
}

func TestDeferred(t *testing.T) {
	for name, reply := range map[string]func(string) string{
		"MAIL": once("MAIL", "451 4.3.0 later"),
		"DATA": once("DATA", "451 4.3.0 later"),
		"dot":  once(".", "452 4.3.1 later"),
		"421":  once("DATA", "421 4.3.2 bye"),
		"gone": once("DATA", "close"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := open(t, nil)
				h.remote("a.example").reply = reply
				id := h.submit(nil, "1@a.example")
				h.waitEmpty()
				if story := h.story(id); strings.Count(story, "deferred[0]") != 1 || !strings.HasSuffix(story, "delivered[0]") {
					t.Error(story)
				}
			})
		})
	}
}

// TestRefusingAndSilentSites: much mail for sites that refuse or are silent
// keeps nobody else waiting, and goes out when they come back.
func TestRefusingAndSilentSites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, func(o *Options) { o.Sites.SMTP.Timeouts.Greeting = 300 * time.Millisecond })
		dead, silent, alive := h.remote("dead.example"), h.remote("silent.example"), h.remote("alive.example")
		dead.refuse, silent.silent = true, true
		for i := range 150 {
			h.submit(nil, fmt.Sprint(i, "@dead.example"))
			h.submit(nil, fmt.Sprint(i, "@silent.example"))
		}
		began := time.Now()
		h.submit(nil, "1@alive.example")
		h.waitFor("the healthy site has its mail", func() bool { return len(alive.got()) == 1 })
		if took := time.Since(began); took > time.Second {
			t.Errorf("it took %v", took)
		}
		dead.change(func(r *remote) { r.refuse = false })
		silent.change(func(r *remote) { r.silent = false })
		h.waitEmpty()
		if len(dead.got()) != 150 || len(silent.got()) != 150 {
			t.Errorf("%d and %d", len(dead.got()), len(silent.got()))
		}
	})
}

// TestWaitingMailExpires: mail that only waits for a site that is down is told
// to be late, and fails in the end, though hardly any of it was ever tried.
func TestWaitingMailExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, func(o *Options) {
			o.Retry = every(t, 15*time.Minute, 2*time.Hour)
			o.Warnings = []time.Duration{time.Hour}
		})
		dead, sender := h.remote("dead.example"), h.remote("sender.example")
		dead.refuse = true
		var ids []mail.MessageID
		for i := range 30 {
			ids = append(ids, h.submit(nil, fmt.Sprint(i, "@dead.example")))
		}
		began := time.Now()
		h.waitEmpty()
		if took := time.Since(began); took < 2*time.Hour || took > 4*time.Hour {
			t.Errorf("it took %v", took)
		}
		for _, id := range ids {
			if story := h.story(id); strings.Count(story, "warned") != 1 || !strings.HasSuffix(story, "expired[0] 0") || strings.Contains(story, "claimed") {
				t.Error(story)
			}
		}
		if n := len(sender.got()); n != 60 {
			t.Errorf("%d reports", n)
		}
	})
}

// TestHeldWhileWaiting: what an operator holds is not sent, though it is in a
// lane already; released, it is.
func TestHeldWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, nil)
		a := h.remote("a.example")
		a.refuse = true
		var ids []mail.MessageID
		for i := range 10 {
			ids = append(ids, h.submit(nil, fmt.Sprint(i, "@a.example")))
		}
		h.waitFor("the site is suspended", func() bool { return h.delivery.window.Load().Suspended == 1 })
		for _, id := range ids {
			if err := h.Operate(t.Context(), queue.ActHold, id, "operator", "test"); err != nil {
				t.Fatal(err)
			}
		}
		a.change(func(r *remote) { r.refuse = false })
		time.Sleep(2 * time.Hour)
		if len(a.got()) != 0 {
			t.Fatalf("%d were sent", len(a.got()))
		}
		for _, id := range ids {
			if err := h.Operate(t.Context(), queue.ActRelease, id, "operator", "test"); err != nil {
				t.Fatal(err)
			}
		}
		h.waitEmpty()
		if len(a.got()) != 10 {
			t.Errorf("%d were sent", len(a.got()))
		}
	})
}

// TestTooManyConnections: a site that takes two at once gets no more, and no
// message uses up a retry step for that.
func TestTooManyConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, nil)
		a := h.remote("a.example")
		a.most = 2
		var ids []mail.MessageID
		for i := range 60 {
			ids = append(ids, h.submit(nil, fmt.Sprint(i, "@a.example")))
		}
		h.waitEmpty()
		deferrals := 0
		for _, id := range ids {
			deferrals += strings.Count(h.story(id), "deferred")
		}
		if len(a.got()) != 60 || deferrals > 5 {
			t.Errorf("%d messages, %d deferrals", len(a.got()), deferrals)
		}
	})
}

// TestTooManyRecipients: those beyond what the server takes at once follow
// without a retry step.
func TestTooManyRecipients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, nil)
		a := h.remote("a.example")
		a.reply = func(line string) string {
			if strings.HasPrefix(line, "RCPT") {
				a.mu.Lock()
				defer a.mu.Unlock()
				if len(a.letters) == 0 && !strings.Contains(line, "<0@") {
					return "452 4.5.3 too many"
				}
			}
			return ""
		}
		id := h.submit(nil, "0@a.example", "1@a.example", "2@a.example")
		h.waitEmpty()
		if story := h.story(id); !strings.Contains(story, "returned[1 2]") || strings.Contains(story, "deferred") {
			t.Error(story)
		}
	})
}

// TestRecipientLimit: a server that says what it takes gets no more.
func TestRecipientLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, nil)
		a := h.remote("a.example")
		a.ehlo = []string{"PIPELINING", "LIMITS MAILMAX=100 RCPTMAX=2"}
		began := time.Now()
		h.submit(nil, "1@a.example", "2@a.example", "3@a.example", "4@a.example", "5@a.example")
		h.waitEmpty()
		if len(a.got()) != 3 || time.Since(began) > 3*time.Second {
			t.Errorf("%d transactions in %v", len(a.got()), time.Since(began))
		}
	})
}

// TestInDoubt: a dot that is never answered is on record for everybody who may
// get a second copy.
func TestInDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, nil)
		a := h.remote("a.example")
		a.reply = once(".", "close")
		id := h.submit(nil, "1@a.example", "2@a.example")
		h.waitEmpty()
		if story := h.story(id); !strings.Contains(story, "doubted[0 1] deferred[0 1] 0") {
			t.Error(story)
		}
		if len(a.got()) != 2 {
			t.Errorf("%d copies", len(a.got()))
		}
	})
}

func TestExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, func(o *Options) { o.Retry = every(t, time.Second, 3*time.Second) })
		h.remote("a.example").reply = always("RCPT", "450 4.2.1 later")
		sender := h.remote("sender.example")
		id := h.submit(nil, "1@a.example")
		h.waitEmpty()
		if story := h.story(id); !strings.Contains(story, "expired[0] 450") {
			t.Error(story)
		}
		if len(sender.got()) != 1 {
			t.Errorf("%d reports", len(sender.got()))
		}
	})
}

// TestNoReportAboutReports: a report that cannot be delivered ends there.
func TestNoReportAboutReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, nil)
		h.remote("sender.example").reply = always("RCPT", "550 5.1.1 gone")
		h.remote("a.example").reply = always("RCPT", "550 5.1.1 gone")
		h.submit(nil, "1@a.example")
		h.waitEmpty()
	})
}

func TestNoSuchDomain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, nil)
		sender := h.remote("sender.example")
		id := h.submit(nil, "1@nowhere.example")
		h.waitEmpty()
		if story := h.story(id); !strings.Contains(story, "failed[0]") || strings.Contains(story, "claimed") {
			t.Error(story)
		}
		if len(sender.got()) != 1 {
			t.Errorf("%d reports", len(sender.got()))
		}
	})
}

func TestWarns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, func(o *Options) { o.Warnings = []time.Duration{time.Millisecond} })
		sender := h.remote("sender.example")
		h.remote("a.example").reply = times(3, "RCPT", "450 4.2.1 later")
		id := h.submit(nil, "1@a.example")
		h.waitEmpty()
		if story := h.story(id); strings.Count(story, "warned[0]") != 1 || len(sender.got()) != 1 {
			t.Errorf("%s, %d warnings", story, len(sender.got()))
		}
		if text := sender.got()[0].content; !strings.Contains(text, "\r\nWill-Retry-Until: ") {
			t.Errorf("a warning that does not say until when (RFC 3464, section 2.3.9):\n%s", text)
		}
	})
}

// TestSuccessReport: the sender is told of success by the next host if that
// knows how, else by us (RFC 3461, section 5.2.2).
func TestSuccessReport(t *testing.T) {
	for name, c := range map[string]struct {
		ehlo []string
		want int
	}{"without DSN": {nil, 1}, "with DSN": {[]string{"PIPELINING", "DSN"}, 0}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := open(t, nil)
				sender := h.remote("sender.example")
				h.remote("a.example").ehlo = c.ehlo
				h.submit(func(s *queue.Submission) { s.Envelope.Recipients[0].Notify = mail.NotifySuccess }, "1@a.example")
				h.waitEmpty()
				if len(sender.got()) != c.want {
					t.Errorf("%d reports", len(sender.got()))
				}
			})
		})
	}
}

// TestDrain: what has sent no dot is returned, what waits for the answer to
// its dot is in doubt, and a server that answers in time is waited for.
func TestDrain(t *testing.T) {
	for name, c := range map[string]struct{ at, want string }{
		"before the dot": {"DATA", "returned[0]"},
		"after the dot":  {".", "doubted[0]"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := open(t, nil)
				a := h.remote("a.example")
				reached := make(chan struct{})
				a.reply = func(line string) string {
					if line == c.at {
						close(reached)
						return "wait"
					}
					return ""
				}
				id := h.submit(nil, "1@a.example")
				<-reached
				h.waitFor("it is claimed", func() bool { return strings.Contains(h.story(id), "claimed") })
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				defer cancel()
				h.delivery.Drain(ctx)
				h.stop()
				if story := h.story(id); !strings.Contains(story, c.want) {
					t.Error(story)
				}
			})
		})
	}
}

// TestTrace: an attempt belongs to the trace of the transaction that accepted
// the message.
func TestTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spans := tracetest.NewSpanRecorder()
		provider := trace.NewTracerProvider(trace.WithSpanProcessor(spans))
		h := open(t, func(o *Options) { o.Tracer = provider.Tracer("delivery") })
		h.remote("a.example")
		h.submit(func(s *queue.Submission) {
			s.Trace = event.Trace{TraceID: [16]byte{1}, SpanID: [8]byte{2}, Flags: 1}
		}, "1@a.example")
		h.waitEmpty()
		h.stop()
		names := map[string]bool{}
		for _, s := range spans.Ended() {
			if s.SpanContext().TraceID() != [16]byte{1} {
				t.Errorf("%s is in another trace", s.Name())
			}
			names[s.Name()] = true
		}
		for _, name := range []string{"delivery.attempt", "dns", "connect", "smtp.data"} {
			if !names[name] {
				t.Errorf("no span %s", name)
			}
		}
	})
}

// TestTraceparent: hosts of a router that is trusted are told the span of the
// attempt, above what came with the message; others are not.
func TestTraceparent(t *testing.T) {
	for _, trusted := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			spans := tracetest.NewSpanRecorder()
			provider := trace.NewTracerProvider(trace.WithSpanProcessor(spans))
			h := open(t, func(o *Options) {
				o.Tracer = provider.Tracer("delivery")
			})
			h.rules(func(r *Rules) {
				r.Router = table(t, h.world, route.Router{Name: "next", Hosts: [][]string{{"a.example"}}, Trace: trusted})
			})
			a := h.remote("a.example")
			h.submit(func(s *queue.Submission) {
				s.Trace = event.Trace{TraceID: [16]byte{1}, SpanID: [8]byte{2}, Flags: 1}
			}, "1@a.example")
			h.waitEmpty()
			h.stop()
			want := ""
			for _, s := range spans.Ended() {
				if c := s.SpanContext(); s.Name() == "delivery.attempt" && trusted {
					want = fmt.Sprintf("traceparent: 00-%s-%s-01\r\n", c.TraceID(), c.SpanID())
				}
			}
			if got := a.got()[0].content; !strings.HasPrefix(got, want+"Received: ") {
				t.Errorf("trusted %v: want %q before %q", trusted, want, got)
			}
		})
	}
}

// TestRulesExchanged: what waits follows the new rules, what is under way goes
// on.
func TestRulesExchanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, nil)
		old, next := h.remote("old.example"), h.remote("next.example")
		asked, answer := make(chan struct{}), make(chan struct{})
		old.reply = func(line string) string {
			if line == "." {
				close(asked)
				<-answer
			}
			return ""
		}
		first := h.submit(nil, "1@old.example")
		<-asked
		h.rules(func(r *Rules) {
			r.Router = table(t, h.world, route.Router{Name: "all", Hosts: [][]string{{"next.example"}}})
		})
		second := h.submit(nil, "2@old.example")
		h.waitFor("the second message goes the new way", func() bool { return len(next.got()) == 1 })
		close(answer)
		h.waitEmpty()
		if len(old.got()) != 1 || strings.Contains(h.story(first), "deferred") || !strings.HasSuffix(h.story(second), "delivered[0]") {
			t.Errorf("%s; %s", h.story(first), h.story(second))
		}
	})
}

// TestStopsWhileTheStoreIsSick: nothing is begun, and no dot is sent, until it
// is well again; then all goes out, once, without a retry step.
func TestStopsWhileTheStoreIsSick(t *testing.T) {
	for name, sick := range map[string]time.Duration{"for a moment": 500 * time.Millisecond, "for long": time.Minute} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var well atomic.Bool
				well.Store(true)
				h := open(t, func(o *Options) { o.May = func(uint16, uint64) bool { return well.Load() } })
				a := h.remote("a.example")
				reached, goOn := make(chan struct{}), make(chan struct{})
				var once sync.Once
				a.reply = func(line string) string {
					if line == "DATA" {
						once.Do(func() { close(reached) })
						<-goOn
					}
					return ""
				}
				ids := []mail.MessageID{h.submit(nil, "0@a.example")}
				<-reached
				well.Store(false)
				for i := range 20 {
					ids = append(ids, h.submit(nil, fmt.Sprint(i+1, "@a.example")))
				}
				close(goOn)
				time.Sleep(sick)
				if n := len(a.got()); n != 0 {
					t.Errorf("%d messages went out", n)
				}
				well.Store(true)
				began := time.Now()
				h.waitFor("all is delivered", func() bool { return len(a.got()) == len(ids) })
				if took := time.Since(began); took > 3*time.Second {
					t.Errorf("it took %v", took)
				}
				h.waitEmpty()
				for _, id := range ids {
					if story := h.story(id); strings.Contains(story, "deferred") || strings.Count(story, "delivered") != 1 {
						t.Error(story)
					}
				}
			})
		})
	}
}

// TestBacklogBeyondTheWindow: what does not fit into the window follows as
// soon as there is room, not with the next sweep that time brings.
func TestBacklogBeyondTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, func(o *Options) { o.Limits.Window = 80 })
		a := h.remote("a.example")
		a.refuse = true
		for i := range 300 {
			h.submit(nil, fmt.Sprint(i, "@a.example"))
		}
		time.Sleep(time.Minute) // virtual: the site rests, and most of the mail has found no room
		a.change(func(r *remote) { r.refuse = false })
		for len(a.got()) == 0 {
			time.Sleep(time.Millisecond)
		}
		began := time.Now()
		for len(a.got()) < 280 { // the few that were tried in vain wait for their time
			time.Sleep(time.Millisecond)
		}
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("it took %v once the site was back", took)
		}
		h.waitEmpty()
	})
}
