package recipient

import (
	"bytes"
	"fmt"
	"io"
	"sync"

	"quorumta/internal/mail/header"
	"quorumta/queue/event"
)

// maxHeader is how much of a message the routers' conditions see, in octets.
const maxHeader = 64 << 10

// Opener opens the content of messages.
type Opener interface {
	Open(a *event.Accepted) (io.ReadCloser, error)
}

// Header finds the fields of a message's header. It is read when they are first
// asked for, and no more of it than the first 64 KB.
func Header(from Opener, a *event.Accepted) func() (map[string]string, error) {
	return sync.OnceValues(func() (map[string]string, error) {
		content, err := from.Open(a)
		if err != nil {
			return nil, fmt.Errorf("read the message's header: %w", err)
		}
		defer content.Close()
		text, err := io.ReadAll(io.LimitReader(content, maxHeader))
		if err != nil {
			return nil, fmt.Errorf("read the message's header: %w", err)
		}
		if len(text) == maxHeader { // not half a line
			text = text[:bytes.LastIndexByte(text, '\n')+1]
		}
		return header.Texts(text), nil
	})
}
