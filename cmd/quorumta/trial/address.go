package trial

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strings"

	"go.opentelemetry.io/otel/metric/noop"

	"quorumta/cmd/quorumta/console"
	"quorumta/cmd/quorumta/rules"
	"quorumta/delivery/explain"
	"quorumta/delivery/outgoing"
	"quorumta/delivery/retry"
	"quorumta/delivery/route"
	"quorumta/internal/config"
	"quorumta/internal/dns"
	"quorumta/internal/mail"
	"quorumta/internal/mail/header"
	"quorumta/internal/policy"
)

// mostShown is how many addresses an answer has.
const mostShown = 10_000

// Exit statuses of test address, as Exim's -bt has them but for their order.
const (
	exitWaits console.Exit = 1
	exitFails console.Exit = 2
)

// who is whom mail is from, as expressions see it.
type who struct {
	Sender   string `help:"The sender; without it, the null reverse-path." placeholder:"ADDRESS"`
	Client   string `help:"The client's address." placeholder:"IP"`
	Login    string `help:"Whom the client has logged in as."`
	Helo     string `help:"What the client has called itself."`
	Listener string `help:"The listener's name."`
	Size     int64  `help:"The message's size, in bytes."`
	// Header are lines of it, whole fields.
	Header []string `help:"A field of the header, Name: value; again for more." placeholder:"FIELD" sep:"none"`
}

// facts are those of a recipient, the null address for none.
func (w *who) facts(to mail.Address) (*policy.Facts, error) {
	f := &policy.Facts{Login: w.Login, Helo: w.Helo, Listener: w.Listener, Size: w.Size, Recipients: 1, Rcpt: to}
	var text strings.Builder
	for _, field := range w.Header {
		name, _, ok := strings.Cut(field, ":")
		if !ok || !header.IsName(name) {
			return nil, console.UsageError{Text: "--header " + field + ": Name: value is expected"}
		}
		text.WriteString(field + "\r\n")
	}
	f.Header = func() (map[string]string, error) { return header.Texts([]byte(text.String())), nil }
	var err error
	if w.Client != "" {
		if f.ClientIP, err = netip.ParseAddr(w.Client); err != nil {
			return nil, console.UsageError{Text: "--client " + w.Client + ": an address is expected"}
		}
	}
	if f.Sender, err = mail.ParseAddress(w.Sender); err != nil {
		return nil, console.UsageError{Text: fmt.Sprintf("--sender %s: %v", w.Sender, err)}
	}
	return f, nil
}

// addressCmd is Exim's -bt.
type addressCmd struct {
	Address string `arg:"" help:"The recipient."`
	who
	Config string `help:"The configuration." type:"existingfile" default:"/etc/quorumta/quorumta.yaml"`
	JSON   bool   `help:"Print the stable form." name:"json"`
}

// answer is what becomes of an address, in its stable form.
type answer struct {
	Address string `json:"address"`
	// Item is "|command" or "/file" where an alias has one.
	Item string `json:"item,omitempty"`
	// Trace is what the routers say, and what holds where the mail goes. Its Result
	// is duplicate for what has been answered above.
	explain.Trace
	// Out is what becomes of the mail on its way out, and when that fails.
	Out *prospects `json:"out,omitempty"`
	// ErrorsTo is the address for errors, null where it is the sender's own.
	ErrorsTo      *string  `json:"errors_to,omitempty"`
	HeadersAdd    []string `json:"headers_add,omitempty"`
	HeadersRemove []string `json:"headers_remove,omitempty"`
	Data          string   `json:"address_data,omitempty"`
	// Into are those in its place.
	Into []*answer `json:"into,omitempty"`
}

// Run prints the answer.
func (c *addressCmd) Run(ctx context.Context, s console.Streams) error {
	to, err := mail.ParseAddress(c.Address)
	if err != nil || to.IsNull() {
		return console.UsageError{Text: fmt.Sprintf("%s: an address is expected", c.Address)}
	}
	f, err := config.Load(c.Config, "")
	if err != nil {
		return err
	}
	if to == (mail.Address{Local: "postmaster"}) {
		to = mail.Address(f.Postmaster) // RFC 5321, section 4.5.1
	}
	facts, err := c.facts(to)
	if err != nil {
		return err
	}
	t, err := newTrial(f, s.Err)
	if err != nil {
		return err
	}
	defer t.resolver.Close()
	a := t.ask(ctx, route.Request{Facts: facts, Explain: true}, mail.Handling{})
	if c.JSON {
		if err := console.PrintJSON(s.Out, a); err != nil {
			return err
		}
	} else if err := tell(s.Out, a, ""); err != nil {
		return err
	}
	return a.status()
}

// status is nil where all would be delivered, or the worst of what would not.
func (a *answer) status() error {
	worst := console.Exit(0)
	a.each(func(a *answer) {
		switch {
		case a.Result == "fail":
			worst = exitFails
		case a.Result == "defer" && worst == 0:
			worst = exitWaits
		}
	})
	if worst == 0 {
		return nil
	}
	return worst
}

func (a *answer) each(f func(*answer)) {
	f(a)
	for _, child := range a.Into {
		child.each(f)
	}
}

// trial is the routers of a configuration, without a node.
type trial struct {
	table    *route.Table
	resolver *dns.Resolver
	tracer   explain.Tracer
	retries  *retry.Rules
	// outgoing is nil, and unprepared says why, where it cannot be had.
	outgoing   *outgoing.Rules
	unprepared error
	// seen are the addresses that were answered.
	seen map[string]bool
}

func newTrial(f *config.File, warnings io.Writer) (*trial, error) {
	settings, err := rules.DNS(f)
	if err != nil {
		return nil, err
	}
	t := &trial{seen: map[string]bool{}}
	if t.resolver, err = dns.New(settings, 0, noop.NewMeterProvider().Meter("")); err != nil {
		return nil, err
	}
	log := slog.New(slog.NewTextHandler(warnings, nil))
	directories, err := rules.NewDirectories(noop.NewMeterProvider().Meter(""))
	if err != nil {
		return nil, err
	}
	tables, _, err := directories.Open(f)
	if err != nil {
		return nil, err
	}
	if t.table, err = rules.Routers(f, route.Options{Resolver: t.resolver}, tables, log); err != nil {
		return nil, err
	}
	return t, t.trace(f, log)
}

// ask routes an address, and those that come in its place. above is what was
// said of those that it is in the place of.
func (t *trial) ask(ctx context.Context, q route.Request, above mail.Handling) *answer {
	rcpt := q.Facts.Rcpt
	a := &answer{Address: rcpt.String(), Item: q.Item}
	var d route.Decision
	a.Trace, d = t.tracer.Trace(ctx, q, &mail.Envelope{From: q.Facts.Sender})
	said := above.And(d.Handling)
	switch a.Result {
	case "deliver":
		a.say(said)
		a.Out = t.prospects(ctx, q, said, len(a.Hosts) == 0)
	case "expand":
		for _, c := range d.Into {
			a.Into = append(a.Into, t.child(ctx, q, c, d.Router, above, said))
		}
	}
	return a
}

// child is one in the place of the address that was asked about.
func (t *trial) child(ctx context.Context, of route.Request, c route.Child, router string, above, said mail.Handling) *answer {
	key := c.Address.Key() + "\n" + c.Item
	if (t.seen[key] && !c.Self) || len(t.seen) >= mostShown {
		return &answer{Address: c.Address.String(), Item: c.Item, Trace: explain.Trace{Steps: []route.Step{}, Result: "duplicate"}}
	}
	t.seen[key] = true
	if c.Self {
		said = above
	}
	facts := *of.Facts
	facts.Rcpt, facts.Data = c.Address, said.Data
	ancestors := append([]route.Ancestor{{Address: of.Facts.Rcpt, Router: router}}, of.Ancestors...)
	return t.ask(ctx, route.Request{Facts: &facts, Item: c.Item, Ancestors: ancestors, Explain: true}, said)
}

// say notes what routers have said.
func (a *answer) say(said mail.Handling) {
	if said.Errors != nil {
		to := said.Errors.String()
		a.ErrorsTo = &to
	}
	a.HeadersAdd, a.HeadersRemove, a.Data = said.Add, said.Remove, said.Data
}

// tell writes an answer for people: a tree.
func tell(w io.Writer, a *answer, indent string) error {
	var b strings.Builder
	name := a.Address
	if a.Item != "" {
		name += " = " + a.Item
	}
	fmt.Fprintf(&b, "%s%s\n", indent, name)
	for _, line := range a.Lines() {
		fmt.Fprintf(&b, "%s  %s\n", indent, console.OneLine(line))
	}
	switch a.Result {
	case "deliver":
		a.tellSaid(&b, indent+"    ")
		for _, line := range a.Out.lines() {
			fmt.Fprintf(&b, "%s    %s\n", indent, console.OneLine(line))
		}
	case "duplicate":
		fmt.Fprintf(&b, "%s  → is a recipient already\n", indent)
	case "expand":
		if len(a.Into) == 0 {
			fmt.Fprintf(&b, "%s  → thrown away\n", indent)
		}
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return err
	}
	for _, child := range a.Into {
		if err := tell(w, child, indent+"    "); err != nil {
			return err
		}
	}
	return nil
}

// tellSaid writes what routers have said of a recipient.
func (a *answer) tellSaid(b *strings.Builder, indent string) {
	if a.ErrorsTo != nil {
		fmt.Fprintf(b, "%serrors to <%s>\n", indent, *a.ErrorsTo)
	}
	for _, field := range a.HeadersAdd {
		fmt.Fprintf(b, "%sadds %s\n", indent, console.OneLine(field))
	}
	for _, name := range a.HeadersRemove {
		fmt.Fprintf(b, "%sremoves %s\n", indent, name)
	}
	if a.Data != "" {
		fmt.Fprintf(b, "%sdata %s\n", indent, console.OneLine(a.Data))
	}
}
