package load

import (
	"bufio"
	"context"
	"math/rand/v2"
	"net"
	"net/mail"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"time"

	"quorumta/bench/sink"
)

func startSink(t *testing.T, mode sink.Mode) *sink.Sink {
	t.Helper()
	s, err := sink.Listen(sink.Options{Listen: "127.0.0.1:0", Mode: mode})
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

// runLoad returns the report and the records of a run.
func runLoad(t *testing.T, o Options) (Report, []Record) {
	t.Helper()
	var all []Record
	o.Record = func(r Record) { all = append(all, r) }
	l, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return l.Run(t.Context()), all
}

// A dead node and one that refuses cost tries, not messages.
func TestNextTarget(t *testing.T) {
	alive := startSink(t, sink.Mode{})
	refusing := startSink(t, sink.Mode{Action: sink.Defer, Stage: sink.AtRcpt})
	dead := startSink(t, sink.Mode{Action: sink.Refuse})
	report, records := runLoad(t, Options{
		Targets:  []string{dead.Address(), refusing.Address(), alive.Address()},
		Sessions: 6, Count: 300, PerConnection: 10,
	})
	if report.Acknowledged != 300 || len(records) != 300 {
		t.Fatalf("acknowledged %d of 300: %+v", report.Acknowledged, report)
	}
	if report.Targets[0].Broken == 0 || report.Targets[1].Refused == 0 || report.Targets[2].Acknowledged != 300 {
		t.Fatalf("per target: %+v", report.Targets)
	}
	if len(report.Refusals) == 0 || report.Refusals[0].At.IsZero() {
		t.Fatalf("refusals are not listed")
	}
	if s := alive.Stats(); s.Messages != 300 || s.Copies != 300 || s.Foreign != 0 {
		t.Fatalf("the sink counted %+v", s)
	}
}

func TestClasses(t *testing.T) {
	for _, c := range []struct {
		mode  sink.Mode
		class Class
		stage string
	}{
		{sink.Mode{}, Acknowledged, "dot"},
		{sink.Mode{Action: sink.Defer}, Transient, "dot"},
		{sink.Mode{Action: sink.Defer, Stage: sink.AtRcpt}, Transient, "rcpt"},
		{sink.Mode{Action: sink.Reject}, Permanent, "dot"},
		{sink.Mode{Action: sink.Reject, Stage: sink.AtRcpt}, Permanent, "rcpt"},
		{sink.Mode{Action: sink.Close}, Unknown, "dot"},
	} {
		s := startSink(t, c.mode)
		_, records := runLoad(t, Options{Targets: []string{s.Address()}, Sessions: 1, Count: 3})
		if len(records) != 3 {
			t.Errorf("%+v: %d records of 3", c.mode, len(records))
		}
		for _, r := range records {
			if r.Class != c.class || r.Stage != c.stage || r.Target != s.Address() {
				t.Errorf("%+v: %+v", c.mode, r)
			}
		}
	}
}

// A hung node (the port is open, nothing comes) is given up after
// ConnectTimeout, and the run ends though nobody answers.
func TestSilentTarget(t *testing.T) {
	s := startSink(t, sink.Mode{Action: sink.Silent})
	report, records := runLoad(t, Options{Targets: []string{s.Address()}, Sessions: 2, Count: 2,
		ConnectTimeout: 20 * time.Millisecond, Duration: 200 * time.Millisecond})
	if len(records) != 2 || report.Unsent != 2 {
		t.Fatalf("%+v", records)
	}
}

func TestRateIsKept(t *testing.T) {
	s := startSink(t, sink.Mode{})
	began := time.Now()
	report, _ := runLoad(t, Options{Targets: []string{s.Address()}, Sessions: 5, Count: 101, Rate: 400})
	if took := time.Since(began); took < 250*time.Millisecond {
		t.Fatalf("101 messages at 400/s took %s", took)
	}
	if report.Acknowledged != 101 {
		t.Fatalf("%+v", report)
	}
}

// script is a dialler to a server that answers the n-th line, and the content
// as one, with the n-th reply.
func script(replies ...string) func(context.Context, string) (net.Conn, error) {
	return func(context.Context, string) (net.Conn, error) {
		here, there := net.Pipe()
		go func() {
			defer there.Close()
			r := textproto.NewReader(bufio.NewReader(there))
			for _, reply := range replies {
				if _, err := there.Write([]byte(reply)); err != nil {
					return
				}
				var err error
				if strings.HasPrefix(reply, "354") {
					_, err = r.ReadDotBytes()
				} else {
					_, err = r.ReadLineBytes()
				}
				if err != nil {
					return
				}
			}
		}()
		return here, nil
	}
}

func TestWithoutPipelining(t *testing.T) {
	_, records := runLoad(t, Options{Targets: []string{"x"}, Sessions: 1, Count: 1, Recipients: 2, PerConnection: 5,
		Duration: 10 * time.Second,
		Dial: script("220 hello\r\n", "250-x\r\n250 SIZE\r\n", "250 ok\r\n", "250 ok\r\n", "550 no\r\n", "354 go\r\n",
			"250 2.0.0 Ok: queued as abc\r\n")})
	if r := records[0]; r.Class != Acknowledged || r.QueueID != "abc" || !slices.Equal(r.Refused, r.To[1:]) {
		t.Fatalf("%+v", r)
	}
}

func TestContentIsMail(t *testing.T) {
	for size := 400; size < 400+lineLength; size++ { // wherever a line is cut
		o, err := Options{Targets: []string{"x"}, Size: size, Recipients: 3}.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		o.Domains = []string{"a.example", "b.example"}
		c := newContent(o)
		m := c.message("run", rand.Int64N(1e6))
		text, dot := strings.CutSuffix(string(m.head)+string(m.body)+m.tail, "\r\n.\r\n")
		if text += "\r\n"; !dot || len(text) != size {
			t.Fatalf("size %d: %d bytes, ends in a dot: %t", size, len(text), dot)
		}
		if rest := strings.ReplaceAll(text, "\r\n", ""); strings.ContainsAny(rest, "\r\n") {
			t.Fatalf("size %d: bare CR or LF", size)
		}
		if _, err := mail.ReadMessage(strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestHistogram(t *testing.T) {
	var h histogram
	for i := 1; i <= 1000; i++ {
		h.add(time.Duration(i) * time.Millisecond)
	}
	for q, want := range map[float64]float64{0.5: 500, 0.95: 950, 0.99: 990, 1: 1000} {
		got := float64(h.quantile(q).Milliseconds())
		if got < want*0.99 || got > want*1.07 {
			t.Errorf("quantile %g is %g ms", q, got)
		}
	}
}

func TestQueueID(t *testing.T) {
	for text, want := range map[string]string{
		"2.0.0 Ok: queued as 01abc": "01abc", "OK id=1xyz-0001": "1xyz-0001", "2.0.0 Ok": "",
	} {
		if got := queueID(text); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}
