package messages

import (
	"context"
	"fmt"

	"quorumta/cmd/quorumta/console"
	"quorumta/internal/admin/api"
	"quorumta/internal/mail"
)

// chosen are the messages that an act is done to, and why.
type chosen struct {
	console.Target
	selection
	IDs []string `arg:"" optional:"" name:"id" help:"Messages; without any, those chosen by flags."`
	All bool     `help:"Without ids and flags: really all messages."`
	Why string   `help:"Goes on record."`
}

// act does the act to the messages and says to how many.
func (c *chosen) act(ctx context.Context, s console.Streams, act api.Act) error {
	sel, err := c.choose()
	if err != nil {
		return err
	}
	return c.actOn(ctx, s, act, sel)
}

// actOn is act on the selection.
func (c *chosen) actOn(ctx context.Context, s console.Streams, act api.Act, sel api.Selection) error {
	name := string(act)
	if act == api.ActResume {
		name = string(api.ActRelease) // as the command is called
	}
	return c.each(s, name, sel, func(client *api.Client, id mail.MessageID) (int, error) {
		q := api.ActRequest{Act: act, ID: id, By: console.Whoami(), Why: c.Why}
		if id == "" {
			q.Selection, q.All = sel, c.All
		}
		return client.Act(ctx, q)
	})
}

// each calls act for each message that was named, or once without an id for the
// selection, and says to how many it was done.
func (c *chosen) each(s console.Streams, name string, sel api.Selection, act func(*api.Client, mail.MessageID) (int, error)) error {
	if len(c.IDs) == 0 && sel == (api.Selection{}) && !c.All {
		return console.UsageError{Text: "name messages, choose them by flags, or say --all"}
	}
	if len(c.IDs) > 0 && (sel != api.Selection{} || c.All) {
		return console.UsageError{Text: "name messages or choose them by flags, not both"}
	}
	ids := make([]mail.MessageID, 0, len(c.IDs))
	for _, text := range c.IDs {
		id, err := mail.ParseMessageID(text)
		if err != nil {
			return console.UsageError{Text: fmt.Sprintf("%s: %v", text, err)}
		}
		ids = append(ids, id)
	}
	client, err := c.Dial()
	if err != nil {
		return err
	}
	defer client.Close()
	total := 0
	if len(ids) == 0 {
		total, err = act(client, "")
	}
	for _, id := range ids {
		if err == nil {
			var n int
			n, err = act(client, id)
			total += n
			if err != nil {
				err = fmt.Errorf("%s: %w", id, err)
			}
		}
	}
	if c.JSON {
		if e := console.PrintJSON(s.Out, api.Done{Count: total}); err == nil {
			err = e
		}
		return err
	}
	fmt.Fprintf(s.Out, "%s: %d messages\n", name, total)
	return err
}

type holdCmd struct{ chosen }

// Run holds the messages.
func (c *holdCmd) Run(ctx context.Context, s console.Streams) error {
	return c.act(ctx, s, api.ActHold)
}

type releaseCmd struct {
	chosen
	Restored bool `help:"What waits because it was restored from a backup; alone: all of it. What somebody held stays held."`
}

// Run releases the messages.
func (c *releaseCmd) Run(ctx context.Context, s console.Streams) error {
	if !c.Restored {
		return c.act(ctx, s, api.ActRelease)
	}
	sel, err := c.choose()
	if err != nil {
		return err
	}
	if len(c.IDs) > 0 {
		return c.actOn(ctx, s, api.ActResume, sel)
	}
	if sel != (api.Selection{}) {
		sel.Restored = true
		return c.actOn(ctx, s, api.ActResume, sel)
	}
	client, err := c.Dial()
	if err != nil {
		return err
	}
	defer client.Close()
	if err := client.Resume(ctx, console.Whoami()); err != nil {
		return err
	}
	if c.JSON {
		return console.PrintJSON(s.Out, api.Done{})
	}
	_, err = fmt.Fprintln(s.Out, "what was restored goes on")
	return err
}

type retryCmd struct{ chosen }

// Run makes the messages due.
func (c *retryCmd) Run(ctx context.Context, s console.Streams) error {
	return c.act(ctx, s, api.ActRetry)
}

type removeCmd struct{ chosen }

// Run ends the messages.
func (c *removeCmd) Run(ctx context.Context, s console.Streams) error {
	return c.act(ctx, s, api.ActRemove)
}
