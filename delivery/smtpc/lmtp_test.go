package smtpc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"quorumta/delivery/transport"
)

const lmtpHello = `
	S: 220 them.example LMTP
	C: LHLO us.example
	S: 250-them.example
	S: 250 PIPELINING
	C: MAIL FROM:<me@us.example>
	C: RCPT TO:<a@them.example>
	C: RCPT TO:<no@them.example>
	C: RCPT TO:<b@them.example>
	C: RCPT TO:<c@them.example>
	C: DATA
	S: 250 ok
	S: 250 ok
	S: 550 5.1.1 who?
	S: 250 ok
	S: 250 ok
	S: 354 go
	C* .
`

func openLMTP(t *testing.T, lines string) (*Conn, error) {
	t.Helper()
	return Greet(context.Background(), script(t, lines), Options{
		Hostname: "us.example", LMTP: true, Timeouts: Timeouts{Dot: 50 * time.Millisecond},
	})
}

func finals(res transport.Result) string {
	var words []string
	for i := range res.Rcpts {
		words = append(words, fmt.Sprint(res.FinalOf(i).Code))
	}
	return strings.Join(words, " ")
}

// TestLMTPFinals: RFC 2033, section 4.2: a reply for each recipient that was
// accepted, in their order. Whom no reply spoke of has none.
func TestLMTPFinals(t *testing.T) {
	for name, c := range map[string]struct {
		lines, finals string
		fails, closed bool
	}{
		"each its own":    {"S: 250 2.0.0 a\nS: 452 4.2.2 full\nS: 250 2.0.0 c", "250 0 452 250", false, false},
		"none taken":      {"S: 550 5.7.1 no\nS: 550 5.7.1 no\nS: 550 5.7.1 no", "550 0 550 550", false, false},
		"lost between":    {"S: 250 2.0.0 a\nclose", "250 0 0 0", true, true},
		"silent between":  {"S: 250 2.0.0 a\nS: 250 2.0.0 b\nsilence", "250 0 250 0", true, true},
		"lost at once":    {"close", "0 0 0 0", true, true},
		"junk":            {"S: 250 2.0.0 a\nS: what?", "250 0 0 0", true, true},
		"bye to the last": {"S: 250 2.0.0 a\nS: 250 2.0.0 b\nS: 421 4.3.2 bye\nclose", "250 0 250 421", false, true},
		"bye in between":  {"S: 250 2.0.0 a\nS: 421 4.3.2 bye\nclose", "250 0 421 0", true, true},
		"several lines":   {"S: 250-2.0.0 a\nS: 250 2.0.0 is well\nS: 250 b\nS: 250 c", "250 0 250 250", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := openLMTP(t, lmtpHello+c.lines)
			if err != nil {
				t.Fatal(err)
			}
			res, err := conn.Send(context.Background(), message("hi\r\n", "a@them.example", "no@them.example", "b@them.example", "c@them.example"))
			if got := finals(res); got != c.finals || !res.Dot || (err != nil) != c.fails || conn.Closed() != c.closed {
				t.Errorf("%s, closed %t, %v", got, conn.Closed(), err)
			}
			var e *transport.Error
			if c.fails && (!errors.As(err, &e) || e.Phase != transport.PhaseDot || e.Ours) {
				t.Errorf("%v", err)
			}
		})
	}
}

// A connection carries the next message when all words have been said.
func TestLMTPConnectionIsUsedAgain(t *testing.T) {
	conn, err := openLMTP(t, lmtpHello+`
		S: 250 2.0.0 a
		S: 250 2.0.0 b
		S: 250 2.0.0 c
		C: MAIL FROM:<me@us.example>
		C: RCPT TO:<d@them.example>
		C: DATA
		S: 250 ok
		S: 250 ok
		S: 354 go
		C* .
		S: 250 2.0.0 d
	`)
	if err != nil {
		t.Fatal(err)
	}
	for _, rcpts := range [][]string{{"a@them.example", "no@them.example", "b@them.example", "c@them.example"}, {"d@them.example"}} {
		if res, err := conn.Send(context.Background(), message("hi\r\n", rcpts...)); err != nil || !res.Worked() {
			t.Fatalf("%+v, %v", res, err)
		}
	}
}

// RFC 2033, section 4.1: LHLO has no predecessor. Section 4.2: who takes DATA
// without a recipient would have nobody to answer.
func TestLMTPProtocol(t *testing.T) {
	if _, err := openLMTP(t, "S: 220 hi\nC: LHLO us.example\nS: 500 what?\nclose"); err == nil || !strings.Contains(err.Error(), "500") {
		t.Errorf("%v", err)
	}
	conn, err := openLMTP(t, `
		S: 220 hi
		C: LHLO us.example
		S: 250-them
		S: 250 PIPELINING
		C: MAIL FROM:<me@us.example>
		C: RCPT TO:<a@them.example>
		C: DATA
		S: 250 ok
		S: 550 who?
		S: 354 go
	`)
	if err != nil {
		t.Fatal(err)
	}
	res, err := conn.Send(context.Background(), message("hi\r\n", "a@them.example"))
	if !errors.Is(err, transport.ErrProtocol) || res.Dot || !conn.Closed() {
		t.Errorf("%+v, %v", res, err)
	}
}

// RFC 2033, section 4.3: after BDAT LAST each recipient has a reply as well.
func TestLMTPChunks(t *testing.T) {
	s := &chunkServer{offers: "250-PIPELINING\r\n", answer: atLast("250 2.0.0 a\r\n452 4.2.2 full")}
	conn := s.open(t, Options{LMTP: true})
	res, err := conn.Send(context.Background(), message(large, "a@them.example", "b@them.example"))
	if got := finals(res); err != nil || got != "250 452" {
		t.Errorf("%s, %v", got, err)
	}
}
