package floor

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"time"
)

// server takes mail. It understands what a client sends that behaves.
type server struct {
	log   *journal
	links []*link
	out   chan *message
}

const (
	// outside is how many messages may wait for the next hop; then clients do.
	outside = 1000
	// deliverers is how many connections to the next hop there are.
	deliverers = 20
	// idle is how long a client may be silent.
	idle = 5 * time.Minute
)

func (s *server) serve(ctx context.Context, nc net.Conn) {
	defer nc.Close()
	defer context.AfterFunc(ctx, func() { nc.Close() })()
	r := bufio.NewReaderSize(nc, 32<<10)
	w := bufio.NewWriterSize(nc, 512)
	w.WriteString("220 floor ESMTP\r\n")
	var envelope []byte
	for {
		if r.Buffered() == 0 { // RFC 2920, section 3.2
			if w.Flush() != nil || nc.SetDeadline(time.Now().Add(idle)) != nil {
				return
			}
		}
		line, err := r.ReadSlice('\n')
		if err != nil {
			return
		}
		switch verb, _, _ := bytes.Cut(bytes.TrimRight(line, "\r\n"), []byte(" ")); string(bytes.ToUpper(verb)) {
		case "EHLO":
			w.WriteString("250-floor\r\n250 PIPELINING\r\n")
		case "MAIL", "RCPT":
			envelope = append(envelope, line...)
			w.WriteString("250 2.1.0 Ok\r\n")
		case "DATA":
			w.WriteString("354 Go on\r\n")
			if w.Flush() != nil || s.take(ctx, r, envelope) != nil {
				return
			}
			envelope = nil
			w.WriteString("250 2.0.0 Ok\r\n")
		case "RSET":
			envelope = nil
			w.WriteString("250 2.0.0 Ok\r\n")
		case "QUIT":
			w.WriteString("221 2.0.0 Bye\r\n")
			w.Flush()
			return
		default:
			w.WriteString("502 5.5.1 Not known here\r\n")
		}
	}
}

// take reads a message, has it logged, and returns when two logs have it.
func (s *server) take(ctx context.Context, r *bufio.Reader, envelope []byte) error {
	content, err := readContent(r)
	if err != nil {
		return err
	}
	m := &message{envelope: append(envelope, "DATA\r\n"...), content: content, majority: make(chan struct{})}
	for _, l := range s.links {
		l.send(m)
	}
	s.log.append(entry{pieces: [2][]byte{m.envelope, content}, synced: m.sync})
	select {
	case <-m.majority:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case s.out <- m:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// readContent reads up to the final dot, and keeps it and every stuffed one:
// the content leaves as it came.
func readContent(r *bufio.Reader) ([]byte, error) {
	end := []byte("\r\n.\r\n")
	content := make([]byte, 0, 12<<10)
	for {
		if _, err := r.Peek(1); err != nil {
			return nil, err
		}
		chunk, _ := r.Peek(r.Buffered())
		before := len(content)
		content = append(content, chunk...)
		from := max(0, before-len(end)+1)
		i := bytes.Index(content[from:], end)
		if before == 0 && bytes.HasPrefix(content, end[2:]) { // no content at all
			_, err := r.Discard(3)
			return content[:3], err
		}
		if i < 0 {
			_, _ = r.Discard(len(chunk)) // it is there
			continue
		}
		whole := from + i + len(end)
		_, err := r.Discard(whole - before)
		return content[:whole], err
	}
}

// deliver carries messages to the next hop over one connection, one after the
// other.
func deliver(ctx context.Context, hop string, in <-chan *message) error {
	var nc net.Conn
	var r *bufio.Reader
	for {
		var m *message
		select {
		case m = <-in:
		case <-ctx.Done():
			return nil
		}
		if hop == "" {
			continue
		}
		if nc == nil {
			var err error
			if nc, err = dial(ctx, hop); err != nil {
				return err
			}
			defer nc.Close()
			defer context.AfterFunc(ctx, func() { nc.Close() })()
			r = bufio.NewReaderSize(nc, 4<<10)
			if err := exchange(nc, r, []byte("EHLO floor\r\n"), "220", "250"); err != nil {
				return ignoreAfter(ctx, err)
			}
		}
		codes := make([]string, bytes.Count(m.envelope, []byte("\n")))
		for i := range codes {
			codes[i] = "250"
		}
		codes[len(codes)-1] = "354"
		err := exchange(nc, r, m.envelope, codes...)
		if err == nil {
			err = exchange(nc, r, m.content, "250")
		}
		if err != nil {
			return ignoreAfter(ctx, err)
		}
	}
}

// exchange sends text and reads as many replies, which must be these.
func exchange(nc net.Conn, r *bufio.Reader, text []byte, codes ...string) error {
	if err := nc.SetDeadline(time.Now().Add(idle)); err != nil {
		return err
	}
	if _, err := nc.Write(text); err != nil {
		return err
	}
	for _, code := range codes {
		for {
			line, err := r.ReadSlice('\n')
			if err != nil {
				return err
			}
			if len(line) < 4 || string(line[:3]) != code {
				return fmt.Errorf("the next hop says %q where %s is expected", line, code)
			}
			if line[3] != '-' {
				break
			}
		}
	}
	return nil
}
