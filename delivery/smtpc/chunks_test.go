package smtpc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"quorumta/delivery/transport"
)

// chunkServer answers the nth BDAT, counted from 1, with what answer says; an
// answer of "close" ends the connection.
type chunkServer struct {
	offers string // lines of the answer to EHLO
	answer func(n int, size int, last bool) string

	mu      sync.Mutex
	content strings.Builder
	said    strings.Builder // commands, one a line
	chunks  int
}

// open starts the server and greets it.
func (s *chunkServer) open(t *testing.T, o Options) *Conn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		nc, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = nc.Close() }()
		s.serve(nc)
	}()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = nc.Close(), l.Close()
		<-done
	})
	o.Hostname = "us.example"
	c, err := Greet(context.Background(), nc, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (s *chunkServer) serve(nc net.Conn) {
	in := bufio.NewReader(nc)
	say := func(text string) { _, _ = io.WriteString(nc, text+"\r\n") }
	say("220 them")
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSuffix(line, "\r\n")
		words := strings.Fields(line)
		s.mu.Lock()
		s.said.WriteString(line + "\n")
		s.mu.Unlock()
		switch words[0] {
		case "EHLO", "LHLO":
			say("250-them\r\n" + s.offers + "250 CHUNKING")
		case "DATA":
			say("354 go")
			for line != ".\r\n" && err == nil {
				line, err = in.ReadString('\n')
			}
			say("250 taken")
		case "BDAT":
			size, _ := strconv.Atoi(words[1])
			chunk := make([]byte, size)
			_, _ = io.ReadFull(in, chunk)
			s.mu.Lock()
			s.content.Write(chunk)
			s.chunks++
			n := s.chunks
			s.mu.Unlock()
			reply := s.answer(n, size, len(words) > 2)
			if reply == "close" {
				return
			}
			say(reply)
		default:
			say("250 ok")
		}
	}
}

// seen is how many chunks came since the last call of forget, what was in
// them, and all commands so far.
func (s *chunkServer) seen() (chunks int, content, said string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.chunks, s.content.String(), s.said.String()
}

func (s *chunkServer) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.chunks = 0
	s.content.Reset()
}

func takes(int, int, bool) string { return "250 ok" }

// large is content of several chunks.
var large = strings.Repeat(strings.Repeat("x", 70)+"\r\n.\r\n", 60_000)

func TestChunks(t *testing.T) {
	for name, offers := range map[string]string{"pipelined": "250-PIPELINING\r\n", "one by one": ""} {
		t.Run(name, func(t *testing.T) {
			s := &chunkServer{offers: offers, answer: takes}
			c := s.open(t, Options{})
			for _, content := range []string{large, large + "the end", "a\nb\rc\r\r\n" + large, "small"} {
				s.forget()
				m := message(content, "a@them.example")
				looked := 0
				m.BeforeDot = func() error { looked, _, _ = s.seen(); return nil }
				res, err := c.Send(context.Background(), m)
				if err != nil || !res.Final.Positive() || !res.Dot || res.Sent != m.Size {
					t.Fatalf("%+v, %v", res, err)
				}
				want := content
				switch {
				case content == "small":
					want = "" // by DATA
				case strings.HasPrefix(content, "a"):
					want = "a\r\nb\r\nc\r\n\r\n" + large
				case !strings.HasSuffix(content, "\n"):
					want += "\r\n"
				}
				chunks, got, _ := s.seen()
				if got != want {
					t.Errorf("%d octets arrived, want %d", len(got), len(want))
				}
				if want != "" && looked != chunks-1 {
					t.Errorf("the last look came after %d of %d chunks", looked, chunks)
				}
			}
			c.Quit(context.Background())
			if _, _, said := s.seen(); strings.Count(said, "LAST") != 3 || strings.Count(said, "BDAT 0 LAST") != 3 || strings.Count(said, "DATA") != 1 {
				t.Errorf("said %s", said)
			}
		})
	}
}

func TestWhenChunksAreUsed(t *testing.T) {
	for _, c := range []struct {
		name   string
		from   int64
		plain  bool
		size   int
		chunks bool
	}{
		{"small", 0, false, defaultChunked - 1, false},
		{"large", 0, false, defaultChunked, true},
		{"large, again", 0, true, defaultChunked, false},
		{"never", -1, false, defaultChunked, false},
		{"from 10", 10, false, 10, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &chunkServer{answer: takes}
			conn := s.open(t, Options{Chunked: c.from})
			m := message(strings.Repeat("x", c.size), "a@them.example")
			m.Plain = c.plain
			if res, err := conn.Send(context.Background(), m); err != nil || !res.Final.Positive() {
				t.Fatalf("%+v, %v", res, err)
			}
			if chunks, _, _ := s.seen(); chunks > 0 != c.chunks {
				t.Errorf("%d chunks", chunks)
			}
		})
	}
}

// TestChunkRefused: a server that refuses a chunk has refused the message, and
// the connection carries the next one.
func TestChunkRefused(t *testing.T) {
	for _, at := range []int{2, 68, 69} { // the last content is in chunk 69
		s := &chunkServer{offers: "250-PIPELINING\r\n"}
		s.answer = func(n, _ int, _ bool) string {
			switch {
			case n == at:
				return "552 5.3.4 too much"
			case n > at && n < 100:
				return "503 5.5.1 it was refused"
			}
			return "250 ok"
		}
		c := s.open(t, Options{})
		res, err := c.Send(context.Background(), message(large, "a@them.example"))
		if err != nil || res.Final.Enhanced != "5.3.4" || res.Dot {
			t.Fatalf("at %d: %+v, %v", at, res, err)
		}
		if chunks, _, _ := s.seen(); at == 2 && chunks > at+chunksAhead+1 {
			t.Errorf("%d chunks were sent", chunks)
		}
		s.mu.Lock()
		s.chunks = 100
		s.mu.Unlock()
		if res, err = c.Send(context.Background(), message(large, "a@them.example")); err != nil || !res.Final.Positive() {
			t.Fatalf("%+v, %v", res, err)
		}
		if _, _, said := s.seen(); strings.Count(said, "RSET") != 1 || strings.Count(said, "LAST") != 1 {
			t.Errorf("said %s", said)
		}
	}
}

// TestChunksEnd: what ends a connection, and what is known then.
func TestChunksEnd(t *testing.T) {
	stale := errors.New("stale")
	for name, c := range map[string]struct {
		answer func(n, size int, last bool) string
		change func(*transport.Message)
		phase  transport.Phase
		ours   bool
		dot    bool
		is     error
	}{
		"closed in content": {answer: at(3, "close"), phase: transport.PhaseContent},
		"421 in content":    {answer: at(3, "421 bye"), phase: transport.PhaseContent},
		"BDAT not known":    {answer: at(1, "500 what?"), phase: transport.PhaseContent, is: transport.ErrProtocol},
		"closed at LAST":    {answer: atLast("close"), phase: transport.PhaseDot, dot: true},
		"junk at LAST":      {answer: atLast("junk"), phase: transport.PhaseDot, dot: true, is: transport.ErrProtocol},
		"silence":           {answer: atLast("251-more to come"), phase: transport.PhaseDot, dot: true},
		"the look":          {answer: takes, change: func(m *transport.Message) { m.BeforeDot = func() error { return stale } }, phase: transport.PhaseContent, ours: true, is: stale},
		"the content":       {answer: takes, change: func(m *transport.Message) { m.Content = io.MultiReader(m.Content, errReader{stale}) }, phase: transport.PhaseContent, ours: true, is: stale},
	} {
		t.Run(name, func(t *testing.T) {
			s := &chunkServer{offers: "250-PIPELINING\r\n", answer: c.answer}
			conn := s.open(t, Options{Timeouts: Timeouts{Dot: 100 * time.Millisecond}})
			m := message(large, "a@them.example")
			if c.change != nil {
				c.change(m)
			}
			res, err := conn.Send(context.Background(), m)
			var e *transport.Error
			if !errors.As(err, &e) || e.Phase != c.phase || e.Ours != c.ours || res.Dot != c.dot || c.is != nil && !errors.Is(err, c.is) {
				t.Fatalf("%+v, %v", res, err)
			}
			if !conn.Closed() {
				t.Error("the connection is open")
			}
			if _, _, said := s.seen(); !c.dot && strings.Contains(said, "LAST") {
				t.Errorf("said %s", said)
			}
		})
	}
}

func at(chunk int, reply string) func(int, int, bool) string {
	return func(n, _ int, _ bool) string {
		if n == chunk {
			return reply
		}
		return fmt.Sprintf("250 chunk %d", n)
	}
}

func atLast(reply string) func(int, int, bool) string {
	return func(_, _ int, last bool) string {
		if last {
			return reply
		}
		return "250 ok"
	}
}
