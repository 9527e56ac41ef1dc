package messages

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"

	"quorumta/cmd/quorumta/console"
	"quorumta/internal/admin/api"
	"quorumta/internal/mail"
)

// Events prints histories.
type Events struct {
	console.Target
	Follow bool   `help:"Go on with what happens from now on."`
	ID     string `help:"One message's alone." name:"id"`
}

// Run prints one JSON object a line.
func (c *Events) Run(ctx context.Context, s console.Streams) error {
	q := api.EventsRequest{Follow: c.Follow}
	if c.ID != "" {
		id, err := mail.ParseMessageID(c.ID)
		if err != nil {
			return console.UsageError{Text: fmt.Sprintf("%s: %v", c.ID, err)}
		}
		q.ID = id
	}
	client, err := c.Dial()
	if err != nil {
		return err
	}
	defer client.Close()
	out := bufio.NewWriterSize(s.Out, 64<<10)
	lines := json.NewEncoder(out)
	err = client.Events(ctx, q, func(e *api.Event) error {
		if err := lines.Encode(e); err != nil {
			return err
		}
		if c.Follow {
			return out.Flush()
		}
		return nil
	})
	if e := out.Flush(); err == nil {
		err = e
	}
	if c.Follow && ctx.Err() != nil {
		return nil // the user has seen enough
	}
	return err
}
