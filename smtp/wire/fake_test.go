package wire

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	gosmtp "github.com/emersion/go-smtp"
)

// scripted is a connection whose client has said everything in advance. Reads
// return at most step octets.
type scripted struct {
	in     []byte
	step   int
	out    bytes.Buffer
	writes int
	closed bool
}

func (s *scripted) Read(p []byte) (int, error) {
	if len(s.in) == 0 || s.closed {
		return 0, io.EOF
	}
	n := copy(p, s.in[:min(s.step, len(s.in))])
	s.in = s.in[n:]
	return n, nil
}

func (s *scripted) Write(p []byte) (int, error)      { s.writes++; return s.out.Write(p) }
func (s *scripted) Close() error                     { s.closed = true; return nil }
func (s *scripted) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (s *scripted) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (s *scripted) SetDeadline(time.Time) error      { return nil }
func (s *scripted) SetReadDeadline(time.Time) error  { return nil }
func (s *scripted) SetWriteDeadline(time.Time) error { return nil }

// taken is a message that a recorder accepted.
type taken struct {
	from    string
	to      []string
	content string
}

// recorder is a backend that takes every message and remembers it.
type recorder struct {
	mu       sync.Mutex
	messages []taken
	// refuse, if set, may end Data after so many octets.
	refuse func(n int) error
}

func (r *recorder) NewSession(*Conn) (gosmtp.Session, error) { return &recording{r: r}, nil }

func (r *recorder) all() []taken {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]taken(nil), r.messages...)
}

type recording struct {
	r   *recorder
	now taken
}

func (s *recording) Reset()        { s.now = taken{} }
func (s *recording) Logout() error { return nil }

func (s *recording) Mail(from string, o *gosmtp.MailOptions) error {
	s.now.from = from
	if from == "panic@example.org" {
		panic("as asked")
	}
	return nil
}

func (s *recording) Rcpt(to string, o *gosmtp.RcptOptions) error {
	if strings.HasPrefix(to, "no@") {
		return refusal(550, 5, 1, 1, "No such user")
	}
	s.now.to = append(s.now.to, to)
	return nil
}

func (s *recording) Data(r io.Reader) error {
	if s.now.from == "lazy@example.org" {
		return nil
	}
	var b bytes.Buffer
	buf := make([]byte, 100)
	for {
		n, err := r.Read(buf)
		b.Write(buf[:n])
		if s.r.refuse != nil {
			if err := s.r.refuse(b.Len()); err != nil {
				return err
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	s.now.content = b.String()
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	s.r.messages = append(s.r.messages, s.now)
	return nil
}

func refusal(code, a, b, c int, text string) error {
	return &gosmtp.SMTPError{Code: code, EnhancedCode: gosmtp.EnhancedCode{a, b, c}, Message: text}
}

// testOptions are small limits.
func testOptions(b Backend) *Options {
	return &Options{
		Hostname: "mx.example.org", Backend: b,
		MaxMessage: 10_000, MaxRecipients: 3, MaxCommand: 512, MaxLine: 1000, MaxErrors: 5,
		Idle: time.Minute,
	}
}

// talk plays input to a connection and returns the replies, the messages
// taken, and what of the input was never read.
func talk(input string, step int, o *Options) (replies string, left int) {
	conn := &scripted{in: []byte(input), step: step}
	c := NewConn(context.Background(), conn, o)
	c.Serve()
	if !conn.closed {
		panic("the connection was not closed")
	}
	return conn.out.String(), len(conn.in)
}

// codes are the replies' codes and enhanced codes, one reply a word.
func codes(replies string) string {
	var list []string
	for line := range strings.Lines(replies) {
		if len(line) < 4 || line[3] == '-' {
			continue
		}
		var code, a, b, c int
		if n, _ := fmt.Sscanf(line, "%d %d.%d.%d ", &code, &a, &b, &c); n == 4 {
			list = append(list, fmt.Sprintf("%d/%d.%d.%d", code, a, b, c))
		} else {
			list = append(list, line[:3])
		}
	}
	return strings.Join(list, " ")
}
