package route

import (
	"context"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"quorumta/delivery/route/aliases"
	"quorumta/internal/mail"
	"quorumta/internal/policy"
)

// Redirect puts others in a recipient's place, as aliases(5) and virtual(5) do.
type Redirect struct {
	// Files are looked through in order for the recipient: under its address,
	// under its local-part and under @domain, as a catch-all. With a prefix or a
	// suffix that the router knows, first with it and then without.
	Files []string
	// Lookups are asked in order, as Files are.
	Lookups []Lookup
	// Key is what is looked up instead; nil: as above.
	Key *policy.Text
	// Data is a list of items, where there are no Files and no Lookups.
	Data *policy.Text
	// Qualify is the domain of items without one; "" for the recipient's.
	Qualify string
	// Commands and Paths name transports for items "|command" and "/file"; ""
	// where these are not allowed.
	Commands, Paths string
	// Rewrite is what rules make of an address that comes in a recipient's place,
	// and their names, none where it stays; nil where there are no rules.
	Rewrite func(*policy.Facts, mail.Address) (mail.Address, []string, error)
	// Unseen: the recipient itself goes on, and gets its mail beside the others.
	Unseen bool
}

// Lookup is a directory outside with its name.
type Lookup struct {
	Name string
	// Table is asked from many goroutines. Find returns what is said of the first
	// key of which something is; an error says that nobody can tell now.
	Table interface {
		Find(ctx context.Context, keys ...string) (values []string, key string, err error)
	}
}

// redirect expands a recipient.
func (w *walk) redirect(ctx context.Context, r *router, f *policy.Facts) Decision {
	list, where, ok, err := w.list(ctx, r, f)
	if err != nil {
		enhanced := "4.3.5"
		if strings.HasPrefix(where, atLookup) {
			enhanced = "4.4.3" // directory server failure: RFC 3463, section 3.5
		}
		return deferred(r.Name, enhanced, "router "+r.Name+": "+err.Error())
	}
	if !ok {
		return declined(r.Name, "nothing is said of this address")
	}
	items, err := aliases.Parse(list)
	if err == nil {
		items, err = w.files.Include(items)
	}
	if err != nil {
		return deferred(r.Name, "4.3.5", "router "+r.Name+", "+where+": "+err.Error())
	}
	if len(items) == 1 {
		switch text := items[0].Text; items[0].Kind {
		case aliases.Fail:
			return Decision{Kind: Fail, Router: r.Name, Reply: said(text, mail.Reply{Code: 550, Enhanced: "5.1.1", Text: "no such address"})}
		case aliases.Defer:
			return Decision{Kind: Defer, Router: r.Name, Reply: said(text, mail.Reply{Code: 451, Enhanced: "4.3.0", Text: "not now"})}
		case aliases.Unknown:
			return declined(r.Name, where+": :unknown:")
		}
	}
	return w.expand(r, f, items, where)
}

// atLookup begins the place of what a lookup has said; that of files is a path.
const atLookup = "lookup "

// list finds what is said of a recipient, and where.
func (w *walk) list(ctx context.Context, r *router, f *policy.Facts) (list, where string, ok bool, err error) {
	if r.Redirect.Data != nil {
		list, err = r.Redirect.Data.Eval(f)
		return list, "data", strings.TrimSpace(list) != "", err
	}
	keys := lookupKeys(w.Facts.Rcpt, f.Rcpt)
	if r.Redirect.Key != nil {
		key, err := r.Redirect.Key.Eval(f)
		if err != nil || key == "" {
			return "", "", false, err
		}
		keys = []string{aliases.Fold(key)}
	}
	for _, path := range r.Redirect.Files {
		_, e, ok, err := w.files.Lookup(path, keys...)
		if err != nil || ok {
			return e.Items, path + ":" + strconv.Itoa(e.Line), ok, err
		}
	}
	for _, l := range r.Redirect.Lookups {
		values, key, err := l.Table.Find(ctx, keys...)
		if err != nil || len(values) > 0 {
			return strings.Join(values, ", "), atLookup + l.Name + ", " + key, err == nil, err
		}
	}
	return "", "", false, nil
}

// lookupKeys are the keys of an address, and of what it is without prefix and
// suffix.
func lookupKeys(whole, stripped mail.Address) []string {
	var keys []string
	for _, a := range []mail.Address{whole, stripped} {
		keys = append(keys, aliases.Fold(a.Local+"@"+a.Domain))
	}
	for _, a := range []mail.Address{whole, stripped} {
		keys = append(keys, strings.ToLower(a.Local))
	}
	return append(keys, aliases.Fold("@"+whole.Domain))
}

// expand makes a decision of items.
func (w *walk) expand(r *router, f *policy.Facts, items []aliases.Item, where string) Decision {
	d := Decision{Kind: Expand, Router: r.Name}
	dropped := false
	var by []string
	for _, item := range items {
		switch item.Kind {
		case aliases.Address:
			a, rules, err := r.Redirect.address(item.Address, w.Facts)
			if err != nil {
				return deferred(r.Name, "4.3.5", "router "+r.Name+", "+where+": "+err.Error())
			}
			by = append(by, rules...)
			d.Into = append(d.Into, Child{Address: a})
		case aliases.Command:
			if r.Redirect.Commands == "" {
				return deferred(r.Name, "4.3.5", "router "+r.Name+", "+where+": commands are not allowed")
			}
			d.Into = append(d.Into, Child{Address: w.Facts.Rcpt, Item: "|" + item.Text})
		case aliases.File:
			if r.Redirect.Paths == "" {
				return deferred(r.Name, "4.3.5", "router "+r.Name+", "+where+": files are not allowed")
			}
			d.Into = append(d.Into, Child{Address: w.Facts.Rcpt, Item: item.Text})
		case aliases.Blackhole:
			dropped = true
		default:
			return deferred(r.Name, "4.3.5", "router "+r.Name+", "+where+": an item stands alone that stands among others")
		}
	}
	if d.Reply.Text = where; len(by) > 0 {
		slices.Sort(by)
		d.Reply.Text += ", rewritten by " + strings.Join(slices.Compact(by), ", ")
	}
	switch {
	case len(d.Into) == 0 && (!dropped || r.Redirect.Unseen):
		return declined(r.Name, where+" names nobody")
	case r.Redirect.Unseen:
		d.Into = append(d.Into, Child{Address: w.Facts.Rcpt, Self: true})
	}
	return d
}

// address is one of the list in a recipient's place, complete and rewritten, and
// by which rules.
func (r *Redirect) address(a mail.Address, f *policy.Facts) (mail.Address, []string, error) {
	a = r.qualified(a, f.Rcpt)
	if r.Rewrite == nil {
		return a, nil, nil
	}
	return r.Rewrite(f, a)
}

// qualified completes an address of the list in the place of another.
func (r *Redirect) qualified(a, of mail.Address) mail.Address {
	switch {
	case a.Local == "":
		a.Local = of.Local
	case a.Domain == "" && r.Qualify != "":
		a.Domain = r.Qualify
	case a.Domain == "":
		a.Domain = of.Domain
	}
	return a
}

// item is the decision for a recipient that is a command or a file: the router
// that had it in its list names the transport.
func (w *walk) item() Decision {
	if len(w.Ancestors) > 0 {
		name := w.Ancestors[0].Router
		if i, ok := w.index[name]; ok && w.routers[i].Redirect != nil {
			r := w.routers[i].Redirect
			command, is := strings.CutPrefix(w.Item, "|")
			transport := r.Paths
			if is {
				transport = r.Commands
			}
			if transport != "" {
				w.note(name, Deliver, w.Item)
				return Decision{Kind: Deliver, Router: name, Target: local(transport), Handling: mail.Handling{Data: command}}
			}
		}
	}
	return deferred("", "4.3.5", "no router allows "+w.Item+" any more: mend the configuration, or remove the message")
}

// codes are what the text of a :fail: or :defer: may begin with.
var codes = regexp.MustCompile(`^(?:([45][0-9][0-9])[ -])?(?:([45]\.[0-9]{1,3}\.[0-9]{1,3}) )?`)

// said is the reply that an item has in words, with codes before them or not.
func said(text string, otherwise mail.Reply) mail.Reply {
	m := codes.FindStringSubmatch(text)
	reply := otherwise
	class := strconv.Itoa(otherwise.Code / 100)
	if m[1] != "" && m[1][:1] == class {
		reply.Code, _ = strconv.Atoi(m[1])
	}
	if m[2] != "" && m[2][:1] == class {
		reply.Enhanced = m[2]
	}
	if rest := strings.TrimSpace(text[len(m[0]):]); rest != "" {
		reply.Text = rest
	}
	return reply
}

func declined(router, why string) Decision {
	return Decision{Kind: decline, Router: router, Reply: mail.Reply{Text: why}}
}
