package smtp_test

import (
	"bytes"
	netsmtp "net/smtp"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"quorumta/internal/mail"
	"quorumta/queue"
	"quorumta/smtp"
	"quorumta/smtp/smtptest"
)

// TestWithPostfixsClient and TestWithEximsClient have real servers relay to
// ours, under TLS: Postfix by PIPELINING and DATA, Exim by CHUNKING.
func TestWithPostfixsClient(t *testing.T) {
	relays(t, smtptest.Postfix, 5)
}

func TestWithEximsClient(t *testing.T) {
	relays(t, smtptest.Exim, 0)
}

func relays(t *testing.T, start func(testing.TB, string, ...string) *smtptest.Server, byData int64) {
	reader := metric.NewManualReader()
	h := open(t, func(o *smtp.Options) {
		o.Listeners[0].TLS, o.TLS = smtp.TLSOffer, serverTLS(t)
		o.Meter = metric.NewMeterProvider(metric.WithReader(reader)).Meter("smtp")
	})
	peer := start(t, h.address())
	bodies := []string{
		".\r\n..\r\n.x\r\nend\r\n",
		strings.Repeat("0123456789\r\n.\r\n", 3000),
		strings.Repeat(strings.Repeat("x", 76)+"\r\n", 30_000),
		"ü\r\n", "",
	}
	for _, body := range bodies {
		err := netsmtp.SendMail(peer.Address, nil, "a@them.example", []string{"b@example.org", "c@example.org"}, []byte("Subject: x\r\n\r\n"+body))
		if err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, id := range h.await(len(bodies)) {
		_, content := h.message(id)
		_, body, _ := strings.Cut(content, "\r\n\r\n")
		got = append(got, body)
		if a := h.accepted(id); !strings.HasSuffix(a.Client.Protocol, "SMTPS") || a.Client.Helo != smtptest.Domain {
			t.Errorf("%+v", a.Client)
		}
	}
	for i, body := range bodies {
		if !slices.Contains(got, body) {
			t.Errorf("message %d was not taken as it was sent", i)
		}
	}
	if n := repliesTo(t, reader, "DATA"); n != byData {
		t.Errorf("%d of %d messages came by DATA, want %d", n, len(bodies), byData)
	}
	if log := h.log.String(); strings.Contains(log, "level=WARN") || strings.Contains(log, "level=ERROR") {
		t.Errorf("log: %s", log)
	}
}

// repliesTo is how many replies a command was given.
func repliesTo(t *testing.T, reader metric.Reader, command string) (n int64) {
	t.Helper()
	var data metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &data); err != nil {
		t.Fatal(err)
	}
	for _, m := range data.ScopeMetrics[0].Metrics {
		if m.Name != "quorumta_smtp_replies" {
			continue
		}
		for _, p := range m.Data.(metricdata.Sum[int64]).DataPoints {
			if v, _ := p.Attributes.Value("command"); v.AsString() == command {
				n += p.Value
			}
		}
	}
	return n
}

// await waits until n messages are queued and returns their ids.
func (h *house) await(n int) []mail.MessageID {
	h.t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for h.count() < uint64(n) {
		select {
		case <-deadline:
			h.t.Fatalf("%d of %d messages came", h.count(), n)
		case <-tick.C:
		}
	}
	page, err := h.queue.List(h.t.Context(), queue.Selection{}, "", 100)
	if err != nil || len(page.Messages) != n {
		h.t.Fatalf("%d messages, %v", len(page.Messages), err)
	}
	var ids []mail.MessageID
	for _, m := range page.Messages {
		ids = append(ids, m.Accepted.ID)
	}
	return ids
}

// TestWithPostfixsTools plays Postfix's test programs against the server.
func TestWithPostfixsTools(t *testing.T) {
	h := open(t, func(o *smtp.Options) { o.Listeners[0].TLS, o.TLS = smtp.TLSOffer, serverTLS(t) })
	run(t, "smtp-source", "-s", "3", "-m", "20", "-l", "20000", "-f", "a@example.net", "-t", "b@example.org", h.address())
	run(t, "smtp-source", "-d", "-s", "2", "-m", "20", "-N", "-r", "3", "-f", "a@example.net", "-t", "b@example.org", h.address())
	if n := h.count(); n != 40 {
		t.Errorf("%d messages", n)
	}
	host, port, _ := strings.Cut(h.address(), ":")
	out := run(t, "posttls-finger", "-l", "may", "-o", "inet_protocols=ipv4", "["+host+"]:"+port)
	if !bytes.Contains(out, []byte("TLSv1.3")) || !bytes.Contains(out, []byte("221 2.0.0 Bye")) {
		t.Errorf("posttls-finger said\n%s", out)
	}
}

// run runs a program of the Debian package postfix.
func run(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skipf("needs %s of the Debian package postfix", name)
	}
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return out
}
