package sink

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"time"
)

// session is one connection. It belongs to one goroutine.
type session struct {
	ctx  context.Context
	sink *Sink
	nc   net.Conn
	r    *bufio.Reader
	w    *bufio.Writer
	// helo is the client's name by its own account, up to maxHelo bytes.
	helo string
	// mail: MAIL was accepted; to are the recipients accepted since.
	mail bool
	to   []string
	// head is the header of the message under way, up to maxHead bytes.
	head  []byte
	whole bool // head is complete
	size  int64
	// quit: it does not count as open any more.
	quit bool
}

const (
	maxHead       = 64 << 10
	maxRecipients = 10_000
	maxHelo       = 255
)

// What ends a session.
var (
	errQuit   = errors.New("the client quits")
	errSilent = errors.New("held silent")
	errClosed = errors.New("closed after the final dot")
)

func newSession(ctx context.Context, s *Sink, nc net.Conn) *session {
	return &session{ctx: ctx, sink: s, nc: nc,
		r: bufio.NewReaderSize(nc, 16<<10), w: bufio.NewWriterSize(nc, 1<<10)}
}

// over takes the session out of those that are open.
func (s *session) over() {
	if !s.quit {
		s.quit = true
		s.sink.tally.add(func(t *Stats) { t.Open-- })
	}
}

func (s *session) serve() {
	defer s.over()
	s.reply("220 sink.bench.example ESMTP")
	for {
		line, err := s.line()
		if err == nil {
			err = s.command(line)
		}
		if errors.Is(err, errSilent) {
			if s.sink.hush(s.nc) {
				s.nc.SetDeadline(time.Time{})
				io.Copy(io.Discard, s.nc)
			}
			return
		}
		if err != nil {
			return
		}
	}
}

// reply says something when the input next runs dry (RFC 2920, section 3.2).
func (s *session) reply(text string) {
	s.w.WriteString(text)
	s.w.WriteString("\r\n")
}

// flush sends what was said, unless the sink has fallen silent.
func (s *session) flush() error {
	if s.sink.Mode().Action == Silent {
		return errSilent
	}
	return s.w.Flush()
}

// line reads a command, without its end of line.
func (s *session) line() ([]byte, error) {
	if s.r.Buffered() == 0 {
		if err := s.flush(); err != nil {
			return nil, err
		}
		s.nc.SetDeadline(time.Now().Add(s.sink.o.Idle))
	}
	line, err := s.r.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	return bytes.TrimRight(line, "\r\n"), nil
}

func (s *session) command(line []byte) error {
	verb, rest, _ := bytes.Cut(line, []byte(" "))
	switch string(bytes.ToUpper(verb)) {
	case "EHLO", "LHLO":
		s.greet(rest)
		s.reply("250-sink.bench.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n" +
			"250-ENHANCEDSTATUSCODES\r\n250-CHUNKING\r\n250 SIZE 0")
	case "HELO":
		s.greet(rest)
		s.reply("250 sink.bench.example")
	case "MAIL":
		s.reset()
		s.mail = true
		s.reply("250 2.1.0 Ok")
	case "RCPT":
		s.rcpt(rest)
	case "DATA":
		return s.data()
	case "BDAT":
		return s.bdat(rest)
	case "RSET":
		s.reset()
		s.reply("250 2.0.0 Ok")
	case "NOOP":
		s.reply("250 2.0.0 Ok")
	case "QUIT":
		s.over() // before the client knows, who may count on it
		s.reply("221 2.0.0 Bye")
		s.w.Flush()
		return errQuit
	default:
		s.reply("502 5.5.1 Not known here")
	}
	return nil
}

func (s *session) greet(name []byte) {
	s.reset()
	s.helo = string(name[:min(len(name), maxHelo)])
}

func (s *session) reset() {
	s.mail, s.whole, s.size = false, false, 0
	s.to, s.head = s.to[:0], s.head[:0]
}

func (s *session) rcpt(rest []byte) {
	_, after, ok := bytes.Cut(rest, []byte("<"))
	end := bytes.LastIndexByte(after, '>')
	m := s.sink.Mode()
	switch {
	case !s.mail:
		s.reply("503 5.5.1 MAIL first")
	case !ok || end <= 0:
		s.reply("501 5.1.3 Bad address")
	case len(s.to) >= maxRecipients:
		s.reply("452 4.5.3 Too many recipients")
	case m.at(AtRcpt) && m.strikes(Defer):
		s.sink.tally.add(func(t *Stats) { t.Deferred++ })
		s.reply("451 4.7.1 Deferred as asked")
	case m.at(AtRcpt) && m.strikes(Reject):
		s.sink.tally.add(func(t *Stats) { t.Rejected++ })
		s.reply("550 5.1.1 Rejected as asked")
	default:
		s.to = append(s.to, string(after[:end]))
		s.reply("250 2.1.5 Ok")
	}
}

func (s *session) data() error {
	if len(s.to) == 0 {
		s.reply("503 5.5.1 No recipients")
		return nil
	}
	s.reply("354 Go on")
	if err := s.flush(); err != nil {
		return err
	}
	s.nc.SetDeadline(time.Now().Add(s.sink.o.Idle))
	start := true // at the start of a line
	for {
		line, err := s.r.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
		if start && string(line) == ".\r\n" {
			return s.dot()
		}
		if start && line[0] == '.' { // RFC 5321, section 4.5.2
			line = line[1:]
		}
		s.take(line)
		start = err == nil
	}
}

// bdat reads a chunk (RFC 3030).
func (s *session) bdat(rest []byte) error {
	size, option, _ := bytes.Cut(rest, []byte(" "))
	n, err := strconv.ParseInt(string(size), 10, 64)
	if err != nil || n < 0 {
		s.reply("501 5.5.4 BDAT wants a size")
		s.w.Flush()
		return errQuit // what follows cannot be told from commands
	}
	last := len(option) > 0
	for n > 0 {
		chunk, err := s.r.Peek(int(min(n, int64(max(s.r.Buffered(), 1)))))
		if err != nil {
			return err
		}
		s.take(chunk)
		s.r.Discard(len(chunk))
		n -= int64(len(chunk))
	}
	if len(s.to) == 0 {
		s.reply("503 5.5.1 No recipients")
		return nil
	}
	if last {
		return s.dot()
	}
	s.reply("250 2.0.0 Ok")
	return nil
}

// take is given the content piece by piece, DATA's by line.
func (s *session) take(p []byte) {
	s.size += int64(len(p))
	if s.whole {
		return
	}
	from := max(len(s.head)-3, 0)
	s.head = append(s.head, p...)
	if bytes.HasPrefix(s.head, []byte("\r\n")) || len(s.head) >= maxHead {
		s.whole = true
	}
	if i := bytes.Index(s.head[from:], []byte("\r\n\r\n")); i >= 0 {
		s.head = s.head[:from+i+2]
		s.whole = true
	}
}

// dot answers the end of the content.
func (s *session) dot() error {
	m := s.sink.Mode()
	if m.Delay > 0 && !s.pause(time.Duration(m.Delay)) {
		return errQuit
	}
	defer s.reset()
	tally := s.sink.tally
	switch {
	case m.at(AtDot) && m.strikes(Defer):
		tally.add(func(t *Stats) { t.Deferred++ })
		s.reply("451 4.7.1 Deferred as asked")
	case m.at(AtDot) && m.strikes(Reject):
		tally.add(func(t *Stats) { t.Rejected++ })
		s.reply("554 5.7.1 Rejected as asked")
	case m.strikes(Close):
		if m.Count {
			tally.count(benchID(s.head), s.helo, s.to, s.size)
		}
		tally.add(func(t *Stats) { t.Closed++ })
		return errClosed
	case m.Action == Silent:
		return errSilent
	case m.DropEvery > 0 && s.sink.drops.Add(1)%m.DropEvery == 0:
		tally.add(func(t *Stats) { t.Dropped++ })
		s.reply("250 2.0.0 Ok")
	default:
		tally.count(benchID(s.head), s.helo, s.to, s.size)
		s.reply("250 2.0.0 Ok")
	}
	return nil
}

func (s *session) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.ctx.Done():
		return false
	}
}

const idField = "X-Bench-ID:"

// benchID finds the id in a header; "" if there is none.
func benchID(head []byte) string {
	for len(head) > 0 {
		line, rest, _ := bytes.Cut(head, []byte("\r\n"))
		if len(line) >= len(idField) && bytes.EqualFold(line[:len(idField)], []byte(idField)) {
			return string(bytes.TrimSpace(line[len(idField):]))
		}
		head = rest
	}
	return ""
}
