package sink

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func start(t *testing.T, o Options) *Sink {
	t.Helper()
	o.Listen = "127.0.0.1:0"
	s, err := Listen(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}

func dial(t *testing.T, s *Sink) (net.Conn, *bufio.Reader) {
	t.Helper()
	nc, err := net.Dial("tcp", s.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(10 * time.Second))
	return nc, bufio.NewReader(nc)
}

// say sends text and returns the codes of as many replies.
func say(t *testing.T, nc net.Conn, r *bufio.Reader, text string, replies int) string {
	t.Helper()
	if _, err := io.WriteString(nc, text); err != nil {
		t.Fatal(err)
	}
	var codes []string
	for len(codes) < replies {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("after %q: %v", codes, err)
		}
		if line[3] == ' ' {
			codes = append(codes, line[:3])
		}
	}
	return strings.Join(codes, " ")
}

const pipelined = "MAIL FROM:<a@b.c>\r\nRCPT TO:<r1@x.example>\r\nRCPT TO:<r2@x.example> NOTIFY=NEVER\r\nDATA\r\n"

func TestCopiesAreCounted(t *testing.T) {
	s := start(t, Options{})
	nc, r := dial(t, s)
	if got := say(t, nc, r, "EHLO me\r\n", 2); got != "220 250" {
		t.Fatal(got)
	}
	for range 2 {
		if got := say(t, nc, r, pipelined, 4); got != "250 250 250 354" {
			t.Fatal(got)
		}
		// The id below the header, and after a stuffed dot, is none.
		if got := say(t, nc, r, "Subject: x\r\nx-BENCH-id: run-7\r\n\r\n..\r\nX-Bench-ID: run-8\r\n.\r\n", 1); got != "250" {
			t.Fatal(got)
		}
	}
	if got := say(t, nc, r, "MAIL FROM:<>\r\nRCPT TO:<r1@x.example>\r\nBDAT 25\r\nX-Bench-ID: elsewhere\r\n\r\nBDAT 3 LAST\r\nx\r\n", 4); got != "250 250 250 250" {
		t.Fatal(got)
	}
	if got := say(t, nc, r, pipelined+"no id\r\n\r\n.\r\n", 5); got != "250 250 250 354 250" {
		t.Fatal(got)
	}
	seen := map[string]int{}
	s.Each(func(v Seen) error {
		seen[v.ID+" "+v.Recipient] = v.Copies
		return nil
	})
	want := map[string]int{"run-7 r1@x.example": 2, "run-7 r2@x.example": 2, "elsewhere r1@x.example": 1}
	if fmt.Sprint(seen) != fmt.Sprint(want) {
		t.Fatalf("seen %v, want %v", seen, want)
	}
	if st := s.Stats(); st.Messages != 3 || st.Recipients != 3 || st.Copies != 5 || st.Foreign != 1 {
		t.Fatalf("%+v", st)
	}
}

func TestModesAtRunTime(t *testing.T) {
	s := start(t, Options{})
	control := httptest.NewServer(s.Control())
	defer control.Close()
	post := func(mode string, status int) {
		t.Helper()
		res, err := http.Post(control.URL+"/mode", "application/json", strings.NewReader(mode))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != status {
			t.Fatalf("mode %s: %s", mode, res.Status)
		}
	}
	nc, r := dial(t, s)
	say(t, nc, r, "EHLO me\r\n", 2)
	message := pipelined + "X-Bench-ID: a-1\r\n\r\n.\r\n"
	for _, c := range []struct{ mode, codes string }{
		{`{"action":"defer"}`, "250 250 250 354 451"},
		{`{"action":"defer","stage":"rcpt"}`, "250 451 451 503"},
		{`{"action":"reject"}`, "250 250 250 354 554"},
		{`{"action":"accept","drop_every":1}`, "250 250 250 354 250"},
		{`{"action":"accept","delay":"1ms"}`, "250 250 250 354 250"},
	} {
		post(c.mode, http.StatusOK)
		text := message
		if strings.HasSuffix(c.codes, "503") {
			text = pipelined
		}
		if got := say(t, nc, r, text, len(strings.Fields(c.codes))); got != c.codes {
			t.Fatalf("%s: %s", c.mode, got)
		}
	}
	if st := s.Stats(); st.Messages != 1 || st.Dropped != 1 || st.Deferred != 3 || st.Rejected != 1 {
		t.Fatalf("%+v", st)
	}
	post(`{"action":"sleep"}`, http.StatusBadRequest)
	post(`{"aktion":"defer"}`, http.StatusBadRequest)

	post(`{"action":"close","count":true}`, http.StatusOK)
	say(t, nc, r, message, 4)
	if _, err := r.ReadByte(); err == nil {
		t.Fatal("an answer though the connection was to be closed")
	}
	if st := s.Stats(); st.Copies != 4 || st.Closed != 1 {
		t.Fatalf("%+v", st)
	}
}

func TestSilentAndRefuse(t *testing.T) {
	s := start(t, Options{Mode: Mode{Action: Silent}})
	held, r := dial(t, s)
	held.SetDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := r.ReadByte(); err == nil {
		t.Fatal("a silent sink greets")
	}
	if err := s.SetMode(Mode{Action: Refuse}); err != nil {
		t.Fatal(err)
	}
	held.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := r.ReadByte(); err == nil {
		t.Fatal("a refusing sink keeps connections")
	}
	if nc, err := net.Dial("tcp", s.Address()); err == nil {
		nc.Close()
		t.Fatal("a refusing sink listens")
	}
	if err := s.SetMode(Mode{}); err != nil {
		t.Fatal(err)
	}
	nc, r := dial(t, s)
	if got := say(t, nc, r, "NOOP\r\n", 2); got != "220 250" {
		t.Fatal(got)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	y := newTally(3)
	for i := range 10 {
		y.count(fmt.Sprintf("r-%d", i), "n1", []string{"a@b"}, 1)
	}
	y.count("r-0", "n2", []string{"a@b"}, 1)
	if st := y.snapshot(); st.Overflow != 7 || st.Recipients != 3 || st.Copies != 4 {
		t.Fatalf("%+v", st)
	}
	z := newTally(3)
	for i := range 10 {
		z.count(fmt.Sprintf("id%d", i), "n1", []string{fmt.Sprintf("u%d@b", i)}, 1)
	}
	if len(z.list) > 4 || len(z.seen) > 4 || z.snapshot().Overflow == 0 {
		t.Fatalf("%d names, %d pairs", len(z.list), len(z.seen))
	}
}

func TestResultLines(t *testing.T) {
	y := &Sink{tally: newTally(10)}
	y.tally.count("r-1", "n1", []string{"a@b"}, 5)
	var b strings.Builder
	if _, err := y.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	var first, second Line
	if len(lines) != 2 || json.Unmarshal([]byte(lines[0]), &first) != nil || json.Unmarshal([]byte(lines[1]), &second) != nil {
		t.Fatalf("%q", lines)
	}
	if first.Sink.Bytes != 5 || second.ID != "r-1" || second.Helo != "n1" || second.Copies != 1 || time.Since(second.First) > time.Minute {
		t.Fatalf("%q", lines)
	}
}
