// Package sites are the commands about sites, and about mail that is to wait.
package sites

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"quorumta/cmd/quorumta/console"
	"quorumta/internal/admin/api"
	"quorumta/internal/config/value"
)

// Commands are the commands about sites.
type Commands struct {
	List    listCmd    `cmd:"" help:"What waits by order, what was learnt, and the sites that a node sends to."`
	Show    showCmd    `cmd:"" help:"One site, by its key or a host's name."`
	Suspend suspendCmd `cmd:"" help:"Have mail wait: of a site, a sender, a recipient's domain or a login."`
	Resume  resumeCmd  `cmd:"" help:"Let it go."`
}

type listCmd struct{ console.Target }

// Run prints all that is known.
func (c *listCmd) Run(ctx context.Context, s console.Streams) error {
	return show(ctx, s, c.Target, "")
}

type showCmd struct {
	console.Target
	Name string `arg:"" help:"Key of a site, or the name of one of its hosts."`
}

// Run prints what is known of one site.
func (c *showCmd) Run(ctx context.Context, s console.Streams) error {
	return show(ctx, s, c.Target, c.Name)
}

func show(ctx context.Context, s console.Streams, t console.Target, name string) error {
	client, err := t.Dial()
	if err != nil {
		return err
	}
	defer client.Close()
	all, err := client.Sites(ctx, name)
	if err != nil {
		return err
	}
	if t.JSON {
		return console.PrintJSON(s.Out, all)
	}
	w := tabwriter.NewWriter(s.Out, 0, 8, 2, ' ', 0)
	for _, o := range all.Orders {
		fmt.Fprintf(w, "%s %s\tsuspended by %s%s\t%s\n", o.Subject, console.OneLine(o.Name), console.OneLine(o.By), until(o.Until), console.OneLine(o.Why))
	}
	for _, l := range all.Lessons {
		fmt.Fprintf(w, "learnt\t%s\t%s\n", strings.TrimSpace(until(l.Until)), console.OneLine(string(l.Lesson)))
	}
	for _, x := range all.Sites {
		fmt.Fprintf(w, "%s\t%d of %d connections, %d waiting%s\t%s\n", console.OneLine(x.Key), x.Connections, x.Limit, x.Waiting, told(x), console.OneLine(x.Why))
	}
	return w.Flush()
}

func until(t *api.Time) string {
	if t == nil {
		return ""
	}
	return " until " + t.UTC().Format(time.RFC3339)
}

// told is what holds a site back.
func told(x api.Site) string {
	text := ""
	if len(x.Rules) > 0 {
		text += ", rule " + strings.Join(x.Rules, ", ")
	}
	if x.Share != nil {
		text += fmt.Sprintf(", %.0f %% of its rates", 100**x.Share)
	}
	if x.Ordered {
		text += ", waits by order"
	}
	if x.Suspended != nil {
		text += ", rests" + until(x.Suspended)
	}
	return text
}

// subject is whose mail is meant: a site's, if nothing else is said.
type subject struct {
	console.Target
	Name   string `arg:"" help:"Key of a site or a host's name; with a flag: address, domain, login."`
	Sender bool   `help:"A sender's address, or a domain of senders." xor:"subject"`
	Domain bool   `help:"A domain of recipients." xor:"subject"`
	Login  bool   `help:"Who logged in to submit." xor:"subject"`
	Why    string `help:"Goes on record."`
}

func (c *subject) order(ctx context.Context, s console.Streams, q api.OrderRequest, done string) error {
	q.Subject, q.Name, q.By, q.Why = "site", c.Name, console.Whoami(), c.Why
	switch {
	case c.Sender:
		q.Subject = "sender"
	case c.Domain:
		q.Subject = "domain"
	case c.Login:
		q.Subject = "login"
	}
	client, err := c.Dial()
	if err != nil {
		return err
	}
	defer client.Close()
	n, err := client.Order(ctx, q)
	if err != nil {
		return err
	}
	if c.JSON {
		return console.PrintJSON(s.Out, api.Done{Count: n})
	}
	fmt.Fprintf(s.Out, "%s %s: %s (%d)\n", q.Subject, c.Name, done, n)
	return nil
}

type suspendCmd struct {
	subject
	For string `help:"For how long: 30m, 4h, 7d; without it until resumed." placeholder:"TIME"`
}

// Run gives the order.
func (c *suspendCmd) Run(ctx context.Context, s console.Streams) error {
	var q api.OrderRequest
	if c.For != "" {
		d, err := value.ParseDuration(c.For)
		if err != nil {
			return console.UsageError{Text: "--for " + c.For + ": " + err.Error()}
		}
		q.Until = &api.Time{Time: time.Now().Add(d)}
	}
	return c.order(ctx, s, q, "suspended")
}

type resumeCmd struct{ subject }

// Run ends the order.
func (c *resumeCmd) Run(ctx context.Context, s console.Streams) error {
	return c.order(ctx, s, api.OrderRequest{End: true}, "resumed")
}
