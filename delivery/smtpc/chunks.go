package smtpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"quorumta/delivery/transport"
	"quorumta/internal/mail"
)

const (
	// chunkSize is how much content goes into one chunk.
	chunkSize = 64 << 10
	// chunksAhead is how many chunks are sent before their replies are read:
	// 2 MiB are on their way when a server refuses one.
	chunksAhead = 32
	// defaultChunked is the size from which on content goes by BDAT. It wins
	// nothing for what is smaller: one more reply, against the chance to be
	// refused early and to keep the connection.
	defaultChunked = 256 << 10
)

// errRefused: a chunk was, and the server's word is in chunks.refused.
var errRefused = errors.New("the server refused a chunk")

// chunks sends content by BDAT (RFC 3030), in chunks of chunkSize.
type chunks struct {
	c       *Conn
	buf     []byte // what the next chunk has so far
	open    int    // chunks that have not been answered
	taken   int    // chunks that have been answered well
	refused mail.Reply
	broken  *transport.Error
}

// chunked reports whether a message goes by BDAT: where the server offers it
// and the content is large. Nothing needs to be doubled then, a server can
// refuse while content is on its way, and the connection outlives that.
func (c *Conn) chunked(m *transport.Message) bool {
	from := c.o.Chunked
	if from == 0 {
		from = defaultChunked
	}
	return c.ext.Chunking && !m.Plain && from > 0 && m.Size >= from
}

// chunks sends the content and, when every chunk was taken and the last look
// agrees, BDAT 0 LAST in the place of the final dot.
func (c *Conn) chunks(m *transport.Message, content io.Reader, res *transport.Result) error {
	w := chunks{c: c, buf: make([]byte, 0, chunkSize)}
	out := lines{w: &w}
	var err error
	if res.Sent, err = out.from(content, c.block()); err == nil {
		err = w.finish()
	}
	switch {
	case w.broken != nil:
		return w.broken
	case errors.Is(err, errRefused):
		c.needsReset = true
		res.Final = w.refused
		return w.settle()
	case errors.As(err, new(sourceError)):
		return c.fail(transport.PhaseContent, mail.Reply{}, err)
	case err != nil:
		return c.fail(transport.PhaseContent, c.lastWord(), err)
	}
	return c.end(m, res, "BDAT 0 LAST")
}

// Write implements io.Writer.
func (w *chunks) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		k := min(len(p), chunkSize-len(w.buf))
		w.buf = append(w.buf, p[:k]...)
		p = p[k:]
		if len(w.buf) < chunkSize {
			break
		}
		if err := w.send(); err != nil {
			return 0, err
		}
	}
	return n, nil
}

// finish sends the rest and waits until everything has been taken.
func (w *chunks) finish() error {
	if len(w.buf) > 0 {
		if err := w.send(); err != nil {
			return err
		}
	}
	for w.open > 0 {
		if err := w.hear(); err != nil {
			return err
		}
	}
	return nil
}

// send sends a chunk, and reads a reply where enough are awaited.
func (w *chunks) send() error {
	out := w.c.w
	_, _ = out.WriteString("BDAT " + strconv.Itoa(len(w.buf)) + "\r\n") // Flush tells the error
	_, _ = out.Write(w.buf)
	if err := out.Flush(); err != nil {
		return err
	}
	w.buf = w.buf[:0]
	ahead := 0
	if w.c.ext.Pipelining {
		ahead = chunksAhead
	}
	if w.open++; w.open > ahead {
		return w.hear()
	}
	return nil
}

// hear reads the reply to a chunk. A server that offers CHUNKING and does not
// know BDAT has taken content for commands: that says nothing of the message.
func (w *chunks) hear() error {
	reply, _, err := w.c.read(w.c.o.Timeouts.Block)
	w.open--
	switch {
	case err != nil || reply.Code == 421:
		w.broken = w.c.fail(transport.PhaseContent, reply, err)
		return w.broken
	case reply.Positive():
		w.taken++
		return nil
	case w.taken == 0 && reply.Code >= 500 && reply.Code <= 504:
		err := fmt.Errorf("%w: it offers CHUNKING and answers BDAT with %d", transport.ErrProtocol, reply.Code)
		w.broken = w.c.fail(transport.PhaseContent, reply, err)
		return w.broken
	}
	w.refused = reply
	return errRefused
}

// settle reads what is said to the chunks behind the one that was refused.
func (w *chunks) settle() error {
	for ; w.open > 0; w.open-- {
		reply, _, err := w.c.read(w.c.o.Timeouts.Block)
		if err == nil && reply.Code != 421 {
			continue
		}
		if w.c.ctx.Err() != nil {
			return w.c.fail(transport.PhaseContent, reply, context.Cause(w.c.ctx))
		}
		w.c.Close() // the message's refusal stands
		return nil
	}
	return nil
}
