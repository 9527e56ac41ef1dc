package sim_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/textproto"
	"strings"
	"sync"
	"time"

	"quorumta/internal/sim"
)

// copyOf is a message at a recipient.
type copyOf struct {
	id string
	to string
}

// sink is the far end: it remembers which message came to whom how often.
type sink struct {
	net *sim.Network

	mu      sync.Mutex
	mood    mood
	random  *rand.Rand
	copies  map[copyOf]int
	reports map[string]int // mail without sender, by recipient
	mangled []string
	serving sync.WaitGroup
}

// mood is how a sink treats messages, in percent of them.
type mood struct {
	deferDot, deferRcpt int
	// closeLost closes after the dot and forgets the message, closeKept keeps it.
	closeLost, closeKept int
	// delay is the longest time until the dot is answered.
	delay time.Duration
}

// calm is the mood of a sink that does its work: it takes a moment, so that
// there is always a dot without an answer.
var calm = mood{delay: 300 * time.Millisecond}

func newSink(n *sim.Network, random *rand.Rand) *sink {
	return &sink{net: n, random: random, mood: calm, copies: map[copyOf]int{}, reports: map[string]int{}}
}

// open listens on all hosts of the sink.
func (s *sink) open() error {
	for name, a := range sinks {
		if err := s.openHost(name, a.String()+":25"); err != nil {
			return err
		}
	}
	return nil
}

func (s *sink) openHost(name, address string) error {
	l, err := s.net.Host(name).Listen(address)
	if err != nil {
		return err
	}
	s.serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.serving.Go(func() {
				defer func() { _ = conn.Close() }()
				s.serve(conn)
			})
		}
	})
	return nil
}

// close ends all, as a crash of its hosts.
func (s *sink) close() {
	for name := range sinks {
		s.net.Crash(name)
	}
	s.serving.Wait()
}

func (s *sink) setMood(m mood) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mood = m
}

// now is the mood, and a random number below 100 to ask it by.
func (s *sink) now() (mood, int, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var delay time.Duration
	if s.mood.delay > 0 {
		delay = time.Duration(s.random.Int64N(int64(s.mood.delay)))
	}
	return s.mood, s.random.IntN(100), delay
}

// serve speaks SMTP until the other side or a mood ends it.
func (s *sink) serve(conn net.Conn) {
	c := textproto.NewConn(conn)
	say := func(line string) bool { return c.PrintfLine("%s", line) == nil }
	if !say("220 sink") {
		return
	}
	var from string
	var to []string
	for {
		line, err := c.ReadLine()
		if err != nil {
			return
		}
		verb, argument, _ := strings.Cut(line, " ")
		answer := "250 ok"
		switch strings.ToUpper(verb) {
		case "EHLO":
			answer = "250-sink\r\n250-PIPELINING\r\n250 8BITMIME"
		case "MAIL":
			from, to = path(argument), nil
		case "RCPT":
			if answer = s.rcpt(path(argument)); answer[0] == '2' {
				to = append(to, path(argument))
			}
		case "DATA":
			if len(to) == 0 {
				answer = "503 5.5.1 no recipients"
				break
			}
			if !say("354 go on") || !s.data(c, from, to, say) {
				return
			}
			continue
		case "QUIT":
			say("221 bye")
			return
		}
		if !say(answer) {
			return
		}
	}
}

// path is the address in MAIL's or RCPT's argument.
func path(argument string) string {
	_, rest, _ := strings.Cut(argument, "<")
	address, _, _ := strings.Cut(rest, ">")
	return address
}

func (s *sink) rcpt(to string) string {
	mood, luck, _ := s.now()
	switch {
	case strings.HasPrefix(to, "nobody"):
		return "550 5.1.1 no such user"
	case luck < mood.deferRcpt:
		return "451 4.2.1 not now"
	}
	return "250 ok"
}

// data takes the content; false ends the connection.
func (s *sink) data(c *textproto.Conn, from string, to []string, say func(string) bool) bool {
	content, err := io.ReadAll(c.DotReader())
	if err != nil {
		return false
	}
	mood, luck, delay := s.now()
	if luck < mood.deferDot {
		return say("451 4.3.0 not now")
	}
	luck -= mood.deferDot
	if luck >= 0 && luck < mood.closeLost {
		return false
	}
	luck -= mood.closeLost
	s.take(from, to, string(content))
	if luck >= 0 && luck < mood.closeKept {
		return false
	}
	if delay > 0 {
		time.Sleep(delay) // the answer takes its time
	}
	return say("250 ok")
}

// take remembers a message.
func (s *sink) take(from string, to []string, content string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if from == "" {
		for _, r := range to {
			s.reports[r]++
		}
		return
	}
	header, body, _ := strings.Cut(content, "\n\n")
	id := strings.TrimSuffix(strings.TrimPrefix(from, "s"), "@sink1.example")
	_, field, _ := strings.Cut(header, "X-Sim: ")
	field, _, _ = strings.Cut(field, "\n")
	if want := fmt.Sprintf("%s %x", id, sha256.Sum256([]byte(body))); field != want {
		s.mangled = append(s.mangled, fmt.Sprintf("from %s: X-Sim: %q, want %q, header %q", from, field, want, header))
	}
	for _, r := range to {
		s.copies[copyOf{id, r}]++
	}
}
