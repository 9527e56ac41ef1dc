package delivery

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"quorumta/delivery/egress"
	"quorumta/delivery/outgoing"
	"quorumta/delivery/route"
	"quorumta/delivery/site"
	"quorumta/delivery/smtpc"
	"quorumta/internal/policy"
)

// leavingBy has all mail leave in a way.
func leavingBy(t *testing.T, s *egress.Settings, rules *outgoing.Rules) *house {
	return open(t, func(o *Options) {
		o.Outgoing = rules
		o.Transports = map[string]site.Transport{"smtp": {SMTP: smtpc.Options{Hostname: "us.example"}, Egress: s}}
	})
}

const (
	mimeTop = "From: me@sender.example\r\nMIME-Version: 1.0\r\n"
	umlaut  = mimeTop + "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nü\r\n"
	sealed  = mimeTop + "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\nü\r\n--b--\r\n"
)

// TestConverts: for a server without 8BITMIME, and of lines that are too long.
func TestConverts(t *testing.T) {
	long := mimeTop + "\r\n" + strings.Repeat("x", 1500) + "\r\n"
	for name, c := range map[string]struct {
		convert egress.Convert
		takes   bool
		content string
		want    string // in what arrives
		story   string // the end of the message's
	}{
		"text":           {content: umlaut, want: "quoted-printable\r\n\r\n=C3=BC\r\n"},
		"taken":          {content: umlaut, takes: true, want: "8bit\r\n\r\nü\r\n"},
		"left":           {egress.Convert{EightBit: egress.EightBitLeave}, false, umlaut, "8bit\r\n\r\nü\r\n", ""},
		"refused":        {egress.Convert{EightBit: egress.EightBitRefuse}, false, umlaut, "", "failed[0] 554"},
		"signed":         {content: sealed, story: "failed[0] 554"},
		"signed, tried":  {egress.Convert{EightBit: egress.EightBitTry}, false, sealed, "\r\nü\r\n--b", ""},
		"long":           {content: long, want: strings.Repeat("x", 1500)},
		"long, repaired": {egress.Convert{LongLines: egress.LinesRepair}, true, long, "quoted-printable\r\n\r\nxxx", ""},
		"long, refused":  {egress.Convert{LongLines: egress.LinesRefuse}, true, long, "", "failed[0] 554"},
		"not long":       {egress.Convert{LongLines: egress.LinesRefuse}, true, umlaut, "ü", ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := leavingBy(t, &egress.Settings{Convert: c.convert}, nil)
				a := h.remote("a.example")
				if a.ehlo = []string{"PIPELINING"}; c.takes {
					a.ehlo = nil
				}
				h.remote("sender.example")
				id := h.submitContent(c.content, nil, "1@a.example")
				h.waitEmpty()
				story := h.story(id)
				if c.story != "" {
					if !strings.HasSuffix(story, c.story) || len(a.got()) > 0 {
						t.Errorf("%s, %d arrived", story, len(a.got()))
					}
					return
				}
				if got := a.got(); len(got) != 1 || !strings.Contains(got[0].content, c.want) {
					t.Errorf("%s: %+v", story, got)
				}
			})
		})
	}
}

// TestSignsWhatWasConverted: our signature is of what goes out.
func TestSignsWhatWasConverted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rules, verify := signing(t, `true`)
		h := leavingBy(t, nil, rules)
		a := h.remote("a.example")
		a.ehlo = []string{"PIPELINING"}
		h.submitContent(umlaut+strings.Repeat("long enough to be kept nowhere\r\n", 20_000), nil, "1@a.example")
		h.waitEmpty()
		got := a.got()
		if len(got) != 1 || !strings.Contains(got[0].content, "\r\n=C3=BC\r\n") {
			t.Fatalf("%d arrived", len(got))
		}
		if domain, err := verify(got[0].content); domain != "sender.example" || err != nil {
			t.Errorf("%s, %v", domain, err)
		}
	})
}

// TestWaysSplitMail: recipients of one domain each, where a transaction may name
// no others; and a message that cannot leave waits, with the reason.
func TestWaysSplitMail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		env, err := policy.NewEnv(nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		pool, err := env.Text(`rcpt.local == "lost" ? "gone" : ""`)
		if err != nil {
			t.Fatal(err)
		}
		h := leavingBy(t, &egress.Settings{Pool: pool, Limits: egress.Limits{OneDomain: true}}, nil)
		a := h.remote("a.example")
		h.rules(func(r *Rules) {
			r.Router = table(t, h.world, route.Router{Name: "all", Hosts: [][]string{{"a.example"}}})
		})
		id := h.submit(nil, "1@b.example", "2@c.example", "3@b.example", "lost@c.example")
		h.waitFor("three recipients to have their mail", func() bool { return strings.Count(h.story(id), " delivered") == 2 })
		var to []string
		for _, l := range a.got() {
			to = append(to, strings.Join(l.to, " "))
		}
		slices.Sort(to)
		if strings.Join(to, ", ") != "1@b.example 3@b.example, 2@c.example" {
			t.Errorf("%q", to)
		}
		if story := h.story(id); !strings.Contains(story, "deferred[3] 451") {
			t.Error(story)
		}
	})
}

// TestSessionLimits: a session carries no more messages, and names no more
// domains, than its server says (RFC 9422).
func TestSessionLimits(t *testing.T) {
	for limits, connections := range map[string]int{"MAILMAX=2": 3, "RCPTDOMAINMAX=1": 2} {
		synctest.Test(t, func(t *testing.T) {
			h := open(t, nil)
			a := h.remote("a.example")
			a.ehlo = []string{"PIPELINING", "8BITMIME", "LIMITS " + limits}
			h.rules(func(r *Rules) {
				r.Router = table(t, h.world, route.Router{Name: "all", Hosts: [][]string{{"a.example"}}})
			})
			if limits == "MAILMAX=2" {
				for range 5 {
					h.submit(nil, "1@b.example")
				}
			} else {
				h.submit(nil, "1@b.example", "2@c.example", "3@b.example")
			}
			h.waitEmpty()
			domains, recipients := map[string]bool{}, 0
			for _, l := range a.got() {
				clear(domains)
				for _, to := range l.to {
					_, domain, _ := strings.Cut(to, "@")
					domains[domain] = true
					recipients++
				}
				if len(domains) > 1 && limits != "MAILMAX=2" {
					t.Errorf("%s: %v", limits, l.to)
				}
			}
			if a.connections < connections || recipients != map[string]int{"MAILMAX=2": 5, "RCPTDOMAINMAX=1": 3}[limits] {
				t.Errorf("%s: %d connections, %d recipients", limits, a.connections, recipients)
			}
		})
	}
}
