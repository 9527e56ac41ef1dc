package smtpc

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"quorumta/delivery/transport"
)

// TestTimeouts has a server fall silent in each phase: the session ends when
// RFC 5321, section 4.5.3.2, says so, and tells the phase.
func TestTimeouts(t *testing.T) {
	envelope := hello + "C: MAIL FROM:<me@us.example>\nC: RCPT TO:<a@them.example>\nC: DATA\n"
	chunking := strings.Replace(hello, "PIPELINING", "CHUNKING", 1) + "C: MAIL FROM:<me@us.example>\nS: 250 ok\nC: RCPT TO:<a@them.example>\nS: 250 ok\n"
	for name, c := range map[string]struct {
		lines string
		phase transport.Phase
		after time.Duration
	}{
		"greeting":              {"silence", transport.PhaseGreeting, 5 * time.Minute},
		"half a greeting":       {"S: 220-hi\nsilence", transport.PhaseGreeting, 5 * time.Minute},
		"EHLO":                  {"S: 220 hi\nC: EHLO us.example\nsilence", transport.PhaseHello, 5 * time.Minute},
		"MAIL":                  {envelope + "silence", transport.PhaseMail, 5 * time.Minute},
		"RCPT":                  {envelope + "S: 250 ok\nsilence", transport.PhaseRcpt, 5 * time.Minute},
		"DATA":                  {envelope + "S: 250 ok\nS: 250 ok\nsilence", transport.PhaseData, 2 * time.Minute},
		"a block":               {envelope + "S: 250 ok\nS: 250 ok\nS: 354 go\nhold", transport.PhaseContent, 3*time.Minute + time.Second},
		"the dot":               {envelope + "S: 250 ok\nS: 250 ok\nS: 354 go\nsilence", transport.PhaseDot, 10 * time.Minute},
		"a chunk":               {chunking + "silence", transport.PhaseContent, 3 * time.Minute},
		"a chunk that is stuck": {chunking + "hold", transport.PhaseContent, 3*time.Minute + time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := net.Pipe()
				ended := make(chan struct{})
				defer func() { <-ended }()
				go func() {
					defer close(ended)
					defer func() { _ = server.Close() }()
					play(t, server, strings.Split(strings.TrimSpace(c.lines), "\n"))
				}()
				began := time.Now()
				conn, err := Greet(context.Background(), client, Options{Hostname: "us.example", Chunked: 1 << 20})
				if err == nil {
					size := 100_000
					if c.lines == chunking+"silence" || c.lines == chunking+"hold" {
						size = 1 << 20
					}
					_, err = conn.Send(context.Background(), message(strings.Repeat("x\r\n", size/3+1), "a@them.example"))
				}
				var e *transport.Error
				if !errors.As(err, &e) || e.Phase != c.phase || !e.Timeout() || e.Ours || time.Since(began) != c.after {
					t.Errorf("%v after %v", err, time.Since(began))
				}
			})
		})
	}
}

// TestSlowServerIsHeardOut: each phase has its time, whatever the ones before
// took.
func TestSlowServerIsHeardOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		go func() {
			defer func() { _ = server.Close() }()
			for _, line := range strings.Split(strings.TrimSpace(hello), "\n") {
				time.Sleep(30 * time.Second)
				play1(t, server, line)
			}
		}()
		began := time.Now()
		if _, err := Greet(context.Background(), client, Options{Hostname: "us.example"}); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != 2*time.Minute {
			t.Errorf("took %v", took)
		}
		_ = client.Close()
	})
}

// play1 plays a line and goes on.
func play1(t *testing.T, server net.Conn, line string) {
	verb, text, _ := strings.Cut(strings.TrimSpace(line), " ")
	if verb == "S:" {
		_, _ = server.Write([]byte(text + "\r\n"))
		return
	}
	buf := make([]byte, 1000)
	if n, err := server.Read(buf); err != nil || string(buf[:n]) != text+"\r\n" {
		t.Errorf("the client says %q, %v", buf[:n], err)
	}
}
