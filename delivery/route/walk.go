package route

import (
	"context"

	"quorumta/internal/policy"
)

// maxDepth is how many expansions one may come from: more is a loop that the
// rule on ancestors does not see, as a list that adds something to itself.
const maxDepth = 30

// walk is one recipient on its way through the table.
type walk struct {
	*Table
	Request
	steps []Step
}

// Route decides for a recipient. The first router decides that does not decline:
// what is said of it in a Request that asks to Explain says why others did.
func (t *Table) Route(ctx context.Context, q Request) Decision {
	w := walk{Table: t, Request: q}
	d := w.route(ctx)
	d.Steps = w.steps
	return d
}

func (w *walk) route(ctx context.Context) Decision {
	switch {
	case len(w.Hosts) > 0:
		d := w.rerouted(ctx, w.Hosts)
		w.note(d.Router, d.Kind, "an operator has named the hosts")
		return d
	case len(w.Ancestors) > maxDepth:
		return deferred(w.Ancestors[0].Router, "4.4.6", "too many aliases of aliases: mend router "+w.Ancestors[0].Router)
	case w.Item != "":
		return w.item()
	}
	for i := w.first(); i < len(w.routers); {
		r := &w.routers[i]
		d := w.ask(ctx, r)
		switch {
		case d.Kind == pass:
			i = r.next
		case d.Kind != decline:
			return d
		case r.Flow.Last && d.Router != "":
			return failed(r.Name, 550, "5.1.1", "no such address: "+r.Name+" does not know it")
		default:
			i++
		}
	}
	return failed("", 550, "5.1.2", "no route to this address")
}

// first is the router that is asked first.
func (w *walk) first() int {
	if len(w.Ancestors) > 0 {
		if i, ok := w.index[w.Ancestors[0].Router]; ok {
			return w.routers[i].first
		}
	}
	return 0
}

// ask asks a router. One that is not to be asked declines without its name.
func (w *walk) ask(ctx context.Context, r *router) Decision {
	if w.handledBy(r) {
		// So an address may stand for itself and others.
		w.skipped(r, "it has handled this address before")
		return Decision{Kind: decline}
	}
	facts, ok := r.Affix.strip(w.Facts)
	if !ok {
		w.skipped(r, "the local-part has none of the prefixes or suffixes")
		return Decision{Kind: decline}
	}
	takes, err := r.If.Eval(facts)
	if err != nil {
		// Going on would send mail past a router that may be meant to
		// keep it inside.
		return deferred(r.Name, "4.3.5", "the condition of router "+r.Name+" failed")
	}
	if !takes {
		w.skipped(r, "if: "+r.If.String()+" is false")
		return Decision{Kind: decline}
	}
	d := w.decide(ctx, r, facts)
	if d.Kind == Deliver || d.Kind == Expand {
		said, err := r.Say.eval(facts)
		if err != nil {
			return deferred(r.Name, "4.3.5", "router "+r.Name+": "+err.Error())
		}
		d.Handling = said
	}
	w.note(r.Name, d.Kind, d.Reply.Text)
	return d
}

func (w *walk) decide(ctx context.Context, r *router, facts *policy.Facts) Decision {
	switch {
	case r.Accept != "":
		return Decision{Kind: Deliver, Router: r.Name, Target: local(r.Accept)}
	case r.Redirect != nil:
		return w.redirect(ctx, r, facts)
	case r.MX:
		return w.orElse(ctx, r, w.byMX(ctx, r, facts.Rcpt.Domain))
	}
	return w.orElse(ctx, r, w.byHosts(ctx, r))
}

// handledBy reports whether the recipient is in the place of its own address,
// which the router has expanded.
func (w *walk) handledBy(r *router) bool {
	for _, a := range w.Ancestors {
		if a.Router == r.Name && a.Address.Key() == w.Facts.Rcpt.Key() {
			return true
		}
	}
	return false
}

// verdicts are the words for what a router said.
var verdicts = map[Kind]string{
	Deliver: "accepted", Fail: "failed", Defer: "deferred", Expand: "expanded", decline: "declined", pass: "passed",
}

func (w *walk) note(router string, kind Kind, why string) {
	if w.Explain {
		w.steps = append(w.steps, Step{Router: router, Verdict: verdicts[kind], Why: why})
	}
}

func (w *walk) skipped(r *router, why string) {
	if w.Explain {
		w.steps = append(w.steps, Step{Router: r.Name, Verdict: "skipped", Why: why})
	}
}
