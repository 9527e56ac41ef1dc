package explain

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"quorumta/delivery/egress"
	"quorumta/delivery/limit"
	"quorumta/delivery/memory"
	"quorumta/delivery/retry"
	"quorumta/delivery/route"
	"quorumta/delivery/site"
	"quorumta/internal/mail"
	"quorumta/internal/policy"
	"quorumta/internal/tlspolicy"
)

// Trace is where a recipient's mail goes now, and by which rules, in its stable
// form.
type Trace struct {
	// Steps are what the routers say, in order.
	Steps []route.Step `json:"steps"`
	// Result is deliver, expand, fail or defer.
	Result    string `json:"result"`
	Router    string `json:"router,omitempty"`
	Reply     string `json:"reply,omitempty"`
	Transport string `json:"transport,omitempty"`
	TLS       string `json:"tls,omitempty"`
	// Site is the key by which the mail shares connections and limits.
	Site  string `json:"site,omitempty"`
	Hosts []Host `json:"hosts,omitempty"`
	// Leaves says how the mail leaves: pool, addresses, EHLO name, login, proxies.
	Leaves []string `json:"leaves,omitempty"`
	// Order is the order by which the site's mail waits, Rests until when and why
	// the site rests; "" if it does not.
	Order string `json:"order,omitempty"`
	Rests string `json:"rests,omitempty"`
	// Limits are what rules and servers' answers allow, and what is used of it.
	Limits []string `json:"limits,omitempty"`
}

// Traced is the trace of one recipient of a message.
type Traced struct {
	Recipient uint32
	Trace     Trace
}

// Host is an address of a host, in the order to be tried.
type Host struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	Port    uint16 `json:"port"`
	Group   int    `json:"group"`
	// TLS is what a connection must be like.
	TLS *tlspolicy.Reason `json:"tls,omitempty"`
	// Bad says since when the host is known to fail, when it is tried again, and by
	// which retry rule; "" where it is not.
	Bad string `json:"bad,omitempty"`
}

// Tracer is what a trace is made with. What is nil is not told.
type Tracer struct {
	Router *route.Table
	TLS    *tlspolicy.Checker
	// Leaving adds to a target how mail leaves for it.
	Leaving func(t route.Target, f *policy.Facts) (route.Target, error)
	// Memory is what is known of hosts, and Retry the rules that it is judged by.
	Memory *memory.Book
	Retry  *retry.Rules
	// Limits finds the rules for a place that nobody has been to.
	Limits limit.Rules
	// Site finds a site that is known; Order is the order by which its mail waits.
	Site  func(key string) *site.Site
	Order func(s *site.Site) string
	Now   func() time.Time
}

// Trace asks the routers about a recipient of a message with the envelope, and
// finds what holds where its mail goes. It asks the DNS, and changes nothing.
func (t *Tracer) Trace(ctx context.Context, q route.Request, e *mail.Envelope) (Trace, route.Decision) {
	q.Explain = true
	d := t.Router.Route(ctx, q)
	out := Trace{Steps: append([]route.Step{}, d.Steps...), Router: d.Router, Result: results[d.Kind], Reply: d.Reply.String()}
	if d.Kind != route.Deliver {
		if d.Kind == route.Expand {
			out.Reply = ""
		}
		return out, d
	}
	out.Reply = ""
	target, err := t.Leaving(d.Target, q.Facts)
	if err != nil {
		out.Result, out.Reply = results[route.Defer], "451 4.3.5 "+err.Error()
		return out, d
	}
	target.Secure(ctx, t.TLS, e)
	out.Transport, out.Site = target.Transport, target.Key
	out.Leaves = leaves(target.Way)
	if len(target.Hosts) > 0 {
		out.TLS = string(target.TLS)
	}
	for _, h := range target.Hosts {
		x := Host{Name: h.Name, Address: h.Addr.String(), Port: h.Port, Group: h.Group, Bad: t.bad(h, &q, &target)}
		if target.Policy != nil {
			reason := target.Policy.Explain(ctx, h.Name, h.Port)
			x.TLS = &reason
		}
		out.Hosts = append(out.Hosts, x)
	}
	t.limits(&out, target, q.Facts.Rcpt.Domain)
	return out, d
}

// results are the words for decisions.
var results = map[route.Kind]string{route.Deliver: "deliver", route.Expand: "expand", route.Fail: "fail", route.Defer: "defer"}

// bad is what is known against a host.
func (t *Tracer) bad(h route.Host, q *route.Request, target *route.Target) string {
	if t.Memory == nil {
		return ""
	}
	f, ok := t.Memory.Get(memory.Host(h.Name, route.At(h).String()))
	if !ok {
		return ""
	}
	now := t.Now()
	text := fmt.Sprintf("fails since %s, last at node %s: %s", stamp(f.First), f.Node, reply(f.Reply))
	if !f.Next.IsZero() {
		text += "; next try " + stamp(f.Next)
	}
	plan := t.Retry.Plan(retry.Error{
		Recipient: q.Facts.Rcpt, Sender: q.Facts.Sender, Kind: f.Kind, Reply: f.Reply, MX: !target.Named,
		Since: f.First, FirstFailed: f.First, Now: now,
	})
	switch {
	case len(plan.Steps) == 0:
		return text + "; retry rule " + named(plan.Rule) + ", the first failure is final"
	case plan.Step < len(plan.Steps):
		return text + "; retry rule " + named(plan.Rule) + ", step " + plan.Steps[plan.Step].String()
	}
	return text + "; retry rule " + named(plan.Rule) + ", past its last cut-off"
}

func named(rule string) string {
	if rule == "" {
		return "of the usual steps"
	}
	return rule
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// limits tells what holds for the site.
func (t *Tracer) limits(out *Trace, target route.Target, domain string) {
	var known *site.Site
	if t.Site != nil {
		known = t.Site(target.Key)
	}
	if known == nil {
		if t.Limits == nil {
			return
		}
		p := site.PlaceOf(target, site.Origin{Router: out.Router, Domain: domain})
		one, address := t.Limits(p)
		if one != nil {
			out.Limits = append(out.Limits, allows(one))
		}
		if address != nil && p.Address != "" {
			out.Limits = append(out.Limits, allows(address)+", for all mail from "+p.Address)
		}
		return
	}
	s := known.Status()
	out.Order = t.Order(known)
	if !s.Suspended.IsZero() {
		out.Rests = "until " + stamp(s.Suspended) + " after " + failure(s.Why.Host, s.Why.Reply)
	}
	out.Limits = append(out.Limits, fmt.Sprintf("%d of %d connections of this node", s.Connections, s.Limit))
	for i := range s.Used {
		u := &s.Used[i]
		text := allows(&u.Rule) + fmt.Sprintf("; %d connections here", u.Connections)
		switch {
		case u.None:
			text += ", this node has no part of the rates now"
		case u.Wait > 0:
			text += ", the rates are used up for " + u.Wait.Truncate(time.Millisecond).String()
		}
		if s.Shared {
			text += fmt.Sprintf(", this node's part of the rates is %.0f %%", 100*s.Share)
		}
		out.Limits = append(out.Limits, text)
	}
}

// allows is a rule in words.
func allows(r *limit.Rule) string {
	var words []string
	for _, x := range []struct {
		n    int
		text string
	}{
		{r.Connections, "connections"}, {r.PerNode, "connections of each node"}, {r.MessagesPerMinute, "messages a minute"},
		{r.MessagesPerHour, "messages an hour"}, {r.RecipientsPerMinute, "recipients a minute"},
		{r.MessagesPerConnection, "messages a connection"}, {r.RecipientsPerMessage, "recipients a message"},
	} {
		if x.n > 0 {
			words = append(words, fmt.Sprintf("%d %s", x.n, x.text))
		}
	}
	for i := range r.Patterns {
		words = append(words, "answers of "+r.Patterns[i].Match.String())
	}
	name := "rule " + r.Name
	if r.Name == "" {
		name = "learnt from answers"
	}
	if len(words) == 0 {
		return name + " allows all"
	}
	return name + ": " + strings.Join(words, ", ")
}

// leaves is how mail leaves, in words.
func leaves(w *egress.Way) (words []string) {
	if w == nil {
		return nil
	}
	add := func(is bool, format string, args ...any) {
		if is {
			words = append(words, fmt.Sprintf(format, args...))
		}
	}
	for part := range strings.FieldsSeq(w.Key) {
		name, ok := strings.CutPrefix(part, "pool=")
		add(ok, "pool %s", name)
	}
	for _, from := range []netip.Addr{w.From4, w.From6} {
		add(from.IsValid(), "from %s", from)
	}
	add(w.Name != "", "EHLO %s", w.Name)
	if w.Login != nil {
		add(true, "login %s", w.Login.User)
	}
	for _, s := range w.Socks {
		add(true, "by the SOCKS server %s", s.Server)
	}
	add(w.Proxy.Server.IsValid(), "by the PROXY server %s", w.Proxy.Server)
	return words
}
