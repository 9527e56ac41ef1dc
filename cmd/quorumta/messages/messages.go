// Package messages are the commands about messages: one, some, or their history.
package messages

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"quorumta/cmd/quorumta/console"
	"quorumta/cmd/quorumta/salvage"
	"quorumta/internal/admin/api"
	"quorumta/internal/config/value"
	"quorumta/internal/mail"
)

// Commands are the commands about messages.
type Commands struct {
	List    listCmd    `cmd:"" help:"List open messages."`
	Count   countCmd   `cmd:"" help:"Count open messages."`
	Show    showCmd    `cmd:"" help:"Show a message and its history."`
	Hold    holdCmd    `cmd:"" help:"Keep messages from being delivered."`
	Release releaseCmd `cmd:"" help:"End a hold."`
	Retry   retryCmd   `cmd:"" help:"Try messages now."`
	Remove  removeCmd  `cmd:"" help:"End messages without a report."`
	Reroute rerouteCmd `cmd:"" help:"Send messages to other hosts than the routers do."`
	Edit    editCmd    `cmd:"" help:"Change who gets a message."`
}

// selection are the flags that choose messages.
type selection struct {
	State  string `help:"due, deferred, held or in_flight." enum:",due,deferred,held,in_flight" default:""`
	Domain string `help:"Domain of a recipient."`
	Sender string `help:"Sender's whole address."`
	Age    string `help:"At least so old: 90s, 15m, 4h, 7d." placeholder:"AGE"`
	If     string `help:"CEL over sender, recipients, domains, size, age, state, tries, subject." placeholder:"EXPR"`
}

func (c *selection) choose() (api.Selection, error) {
	s := api.Selection{State: c.State, Domain: strings.ToLower(c.Domain), Sender: c.Sender, If: c.If}
	if c.Age != "" {
		age, err := value.ParseDuration(c.Age)
		if err != nil {
			return s, console.UsageError{Text: "--age " + c.Age + ": " + err.Error()}
		}
		s.OlderThan = age
	}
	return s, nil
}

type listCmd struct {
	console.Target
	selection
	Limit  int    `help:"Messages at most; 0 lists all." default:"100"`
	Cursor string `help:"Where an earlier list ended."`
}

// Run prints the list.
func (c *listCmd) Run(ctx context.Context, s console.Streams) error {
	chosen, err := c.choose()
	if err != nil {
		return err
	}
	client, err := c.Dial()
	if err != nil {
		return err
	}
	defer client.Close()
	all := &api.List{Messages: []api.Message{}, Cursor: c.Cursor}
	for {
		limit := 1000
		if c.Limit > 0 {
			limit = min(limit, c.Limit-len(all.Messages))
		}
		page, err := client.List(ctx, api.ListRequest{Selection: chosen, Cursor: all.Cursor, Limit: limit})
		if err != nil {
			return err
		}
		all.Messages = append(all.Messages, page.Messages...)
		all.Cursor, all.Stale = page.Cursor, page.Stale
		if page.Cursor == "" || (c.Limit > 0 && len(all.Messages) >= c.Limit) {
			break
		}
	}
	if c.JSON {
		return console.PrintJSON(s.Out, all)
	}
	if err := printMessages(s.Out, all.Messages); err != nil {
		return err
	}
	warnStale(s, all.Stale)
	if all.Cursor != "" {
		fmt.Fprintf(s.Err, "more: --cursor %s\n", all.Cursor)
	}
	return nil
}

// warnStale says which shards could not be asked at their leader.
func warnStale(s console.Streams, shards []uint16) {
	for _, shard := range shards {
		fmt.Fprintf(s.Err, "shard %d has no leader in reach: its messages are as the asked node knows them\n", shard)
	}
}

func printMessages(out io.Writer, messages []api.Message) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tAGE\tSIZE\tSTATE\tTRIES\tFROM\tTO\tLAST REPLY")
	for _, m := range messages {
		age := time.Since(m.At.Time).Round(time.Second)
		for _, r := range m.Recipients {
			state := r.State
			switch {
			case m.Held:
				state = "held"
			case m.Restored:
				state = "restored"
			}
			fmt.Fprintf(w, "%s\t%v\t%d\t%s\t%d\t<%s>\t%s\t%s\n", m.ID, age, m.Size, state, r.Tries, m.From, r.Address, console.OneLine(r.Reply))
		}
	}
	return w.Flush()
}

type countCmd struct {
	console.Target
}

// Run prints the counts.
func (c *countCmd) Run(ctx context.Context, s console.Streams) error {
	return console.Ask(ctx, &c.Target, s, (*api.Client).Count, func(t *api.Totals) error { return tellTotals(s, t) })
}

func tellTotals(s console.Streams, t *api.Totals) error {
	warnStale(s, t.Stale)
	for _, why := range t.Suspended {
		how := "restored from a backup"
		if why.By == salvage.ByRecover {
			how = "recovered from what a survivor had"
		}
		fmt.Fprintf(s.Err, "shard %d was %s as of %s: what it held waits for queue release --restored\n",
			why.Shard, how, why.Backup.Format(time.RFC3339))
	}
	_, err := fmt.Fprintf(s.Out, "total %d\ndue %d\ndeferred %d\nheld %d\nin flight %d\n", t.Total, t.Due, t.Deferred, t.Held, t.InFlight)
	return err
}

type showCmd struct {
	ID     string `arg:"" help:"The message's id."`
	Routes bool   `help:"Tell, too, where its mail goes now: router by router, host by host, with TLS, limits and orders. It asks the DNS."`
	console.Target
}

// Run prints the message and its history.
func (c *showCmd) Run(ctx context.Context, s console.Streams) error {
	id, err := mail.ParseMessageID(c.ID)
	if err != nil {
		return console.UsageError{Text: fmt.Sprintf("%s: %v", c.ID, err)}
	}
	ask := func(client *api.Client, ctx context.Context) (*api.Show, error) {
		return client.Show(ctx, api.ShowRequest{ID: id, Routes: c.Routes})
	}
	return console.Ask(ctx, &c.Target, s, ask, func(show *api.Show) error { return tellMessage(s, id, show) })
}

func tellMessage(s console.Streams, id mail.MessageID, show *api.Show) error {
	if m := show.Message; m == nil {
		fmt.Fprintf(s.Out, "%s has ended\n", id)
	} else if err := printMessages(s.Out, []api.Message{*m}); err != nil {
		return err
	} else if err := tellWaits(s.Out, m); err != nil {
		return err
	}
	w := tabwriter.NewWriter(s.Out, 0, 8, 2, ' ', 0)
	for _, e := range show.History {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", e.At.Format(time.RFC3339), e.Event, e.Recipient, e.Node, console.OneLine(detail(e)))
	}
	return w.Flush()
}

// detail is what an event says beside who and when.
func detail(e api.Event) string {
	var parts []string
	add := func(label, value string) {
		if value != "" {
			parts = append(parts, label+value)
		}
	}
	if a := e.Attempted; a != nil {
		add("by ", a.Router)
		add("at ", a.Host)
		add("said ", a.Reply)
	}
	if b := e.Born; b != nil {
		add("from ", "<"+b.From+">")
		add("client ", b.Client)
		if b.Priority != 0 {
			add("priority ", strconv.Itoa(b.Priority))
		}
		add("rules ", strings.Join(b.Rules, ","))
		add("trace ", b.Trace)
	}
	if e.Due != nil {
		add("due ", e.Due.Format(time.RFC3339))
	}
	add("by ", e.By)
	add("because ", e.Why)
	return strings.Join(parts, "; ")
}
