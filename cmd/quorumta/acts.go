package main

import (
	"context"
	"fmt"
	"strings"

	"quorumta/internal/admin"
	"quorumta/internal/mail"
	"quorumta/queue"
)

// chosen are the messages that an act is done to, and why.
type chosen struct {
	target
	selection
	IDs []string `arg:"" optional:"" name:"id" help:"Messages; without any, those chosen by flags."`
	All bool     `help:"Without ids and flags: really all messages."`
	Why string   `help:"Goes on record."`
}

// act does the act to the messages and says to how many.
func (c *chosen) act(ctx context.Context, s streams, act queue.Act) error {
	sel, err := c.choose()
	if err != nil {
		return err
	}
	if len(c.IDs) == 0 && sel == (queue.Selection{}) && !c.All {
		return usageError{"name messages, choose them by flags, or say --all"}
	}
	if len(c.IDs) > 0 && (sel != queue.Selection{} || c.All) {
		return usageError{"name messages or choose them by flags, not both"}
	}
	ids := make([]mail.MessageID, 0, len(c.IDs))
	for _, text := range c.IDs {
		id, err := mail.ParseMessageID(text)
		if err != nil {
			return usageError{fmt.Sprintf("%s: %v", text, err)}
		}
		ids = append(ids, id)
	}
	client, err := c.dial()
	if err != nil {
		return err
	}
	defer client.Close()
	total := 0
	if len(ids) == 0 {
		total, err = client.Act(ctx, admin.ActRequest{Act: act, Selection: sel, All: c.All, By: whoami(), Why: c.Why})
	}
	for _, id := range ids {
		if err == nil {
			var n int
			n, err = client.Act(ctx, admin.ActRequest{Act: act, ID: id, By: whoami(), Why: c.Why})
			total += n
			if err != nil {
				err = fmt.Errorf("%s: %w", id, err)
			}
		}
	}
	if c.JSON {
		if e := printJSON(s.out, admin.Done{Count: total}); err == nil {
			err = e
		}
		return err
	}
	fmt.Fprintf(s.out, "%s: %d messages\n", strings.TrimSpace(string(act)), total)
	return err
}

type queueHoldCmd struct{ chosen }

// Run holds the messages.
func (c *queueHoldCmd) Run(ctx context.Context, s streams) error {
	return c.act(ctx, s, queue.ActHold)
}

type queueReleaseCmd struct{ chosen }

// Run releases the messages.
func (c *queueReleaseCmd) Run(ctx context.Context, s streams) error {
	return c.act(ctx, s, queue.ActRelease)
}

type queueRetryCmd struct{ chosen }

// Run makes the messages due.
func (c *queueRetryCmd) Run(ctx context.Context, s streams) error {
	return c.act(ctx, s, queue.ActRetry)
}

type queueRemoveCmd struct{ chosen }

// Run ends the messages.
func (c *queueRemoveCmd) Run(ctx context.Context, s streams) error {
	return c.act(ctx, s, queue.ActRemove)
}
