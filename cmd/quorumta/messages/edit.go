package messages

import (
	"context"
	"fmt"
	"strings"

	"quorumta/cmd/quorumta/console"
	"quorumta/delivery/route"
	"quorumta/internal/admin/api"
	"quorumta/internal/mail"
)

type rerouteCmd struct {
	chosen
	Host  []string `help:"name, name:port, [address]:port or name/mx; again for those that are tried after it." placeholder:"HOST"`
	Clear bool     `help:"The routers have their say again."`
}

// Run names the hosts of the messages.
func (c *rerouteCmd) Run(ctx context.Context, s console.Streams) error {
	if (len(c.Host) > 0) == c.Clear {
		return console.UsageError{Text: "say --host or --clear"}
	}
	for _, h := range c.Host {
		if _, err := route.New(route.Options{Routers: []route.Router{{Name: "rerouted", Hosts: [][]string{{h}}}}}); err != nil {
			return console.UsageError{Text: fmt.Sprintf("--host %s: %v", h, err)}
		}
	}
	sel, err := c.choose()
	if err != nil {
		return err
	}
	return c.each(s, "reroute", sel, func(client *api.Client, id mail.MessageID) (int, error) {
		q := api.RerouteRequest{ID: id, Hosts: c.Host, By: console.Whoami(), Why: c.Why}
		if id == "" {
			q.Selection, q.All = sel, c.All
		}
		return client.Reroute(ctx, q)
	})
}

type editCmd struct {
	console.Target
	ID      string   `arg:"" help:"The message."`
	Add     []string `help:"An address that gets the message as well." placeholder:"ADDRESS" sep:"none"`
	Drop    []string `help:"A recipient that gets nothing any more; nobody is told." placeholder:"ADDRESS" sep:"none"`
	Replace []string `help:"A recipient whose mail goes to another address." placeholder:"OLD=NEW" sep:"none"`
	Why     string   `help:"Goes on record."`
}

// Run changes the recipients.
func (c *editCmd) Run(ctx context.Context, s console.Streams) error {
	id, err := mail.ParseMessageID(c.ID)
	if err != nil {
		return console.UsageError{Text: fmt.Sprintf("%s: %v", c.ID, err)}
	}
	q := api.EditRequest{ID: id, Drop: c.Drop, Add: c.Add, By: console.Whoami(), Why: c.Why}
	for _, text := range append(c.Drop, c.Add...) {
		if !isAddress(text) {
			return console.UsageError{Text: text + " is no address"}
		}
	}
	for _, text := range c.Replace {
		r, ok := replacement(text)
		if !ok {
			return console.UsageError{Text: "--replace " + text + ": OLD=NEW is expected, two addresses"}
		}
		q.Replace = append(q.Replace, r)
	}
	if len(q.Drop)+len(q.Add)+len(q.Replace) == 0 {
		return console.UsageError{Text: "say whom to --add, to --drop or to --replace"}
	}
	client, err := c.Dial()
	if err != nil {
		return err
	}
	defer client.Close()
	if err := client.Edit(ctx, q); err != nil {
		return fmt.Errorf("%s: %w", id, err)
	}
	if c.JSON {
		return console.PrintJSON(s.Out, api.Done{Count: 1})
	}
	_, err = fmt.Fprintf(s.Out, "edit: %s\n", id)
	return err
}

// replacement reads OLD=NEW. A local part may hold the character as well: both
// are addresses with a domain only when the text is cut in the right place.
func replacement(text string) (api.Replacement, bool) {
	for i, c := range text {
		if c == '=' && isAddress(text[:i]) && isAddress(text[i+1:]) {
			return api.Replacement{Old: text[:i], New: text[i+1:]}, true
		}
	}
	return api.Replacement{}, false
}

func isAddress(text string) bool {
	a, err := mail.ParseAddress(text)
	return err == nil && a.Domain != "" && strings.Contains(text, "@")
}
