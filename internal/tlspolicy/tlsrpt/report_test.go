package tlsrpt

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	message "github.com/emersion/go-message"
	_ "github.com/emersion/go-message/charset"
)

func example() *Report {
	day := DayOf(noon)
	return &Report{
		Organization: "relay.example", Contact: "postmaster@relay.example", ID: "20261123.example.com.n1@relay.example",
		Domain: "example.com", Submitter: "relay.example", Range: DateRange{day.Begin(), day.End()},
		Policies: Counts{{
			Policy:   Policy{Type: STS, Strings: []string{"version: STSv1", "mode: testing"}, Domain: "example.com", MX: []string{"*.mail.example.com"}},
			Summary:  Summary{5326, 303},
			Failures: []Failing{{Failure{Result: CertificateExpired, SendingIP: "2001:db8::1", MXHost: "mx1.mail.example.com", ReceivingIP: "203.0.113.56"}, 100}},
		}},
	}
}

// schema is what RFC 8460, section 4.4, draws; a number stands for any number.
const schema = `{
 "organization-name": "relay.example",
 "date-range": {"start-datetime": "2026-11-23T00:00:00Z", "end-datetime": "2026-11-23T23:59:59Z"},
 "contact-info": "postmaster@relay.example",
 "report-id": "20261123.example.com.n1@relay.example",
 "policies": [{
  "policy": {"policy-type": "sts", "policy-string": ["version: STSv1", "mode: testing"], "policy-domain": "example.com", "mx-host": ["*.mail.example.com"]},
  "summary": {"total-successful-session-count": 5326, "total-failure-session-count": 303},
  "failure-details": [{"result-type": "certificate-expired", "sending-mta-ip": "2001:db8::1", "receiving-mx-hostname": "mx1.mail.example.com", "receiving-ip": "203.0.113.56", "failed-session-count": 100}]
 }]}`

func decompress(t *testing.T, b []byte) string {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestSchema(t *testing.T) {
	compressed, err := example().Compressed()
	if err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	if err := json.Compact(&want, []byte(schema)); err != nil {
		t.Fatal(err)
	}
	if got := decompress(t, compressed); got != want.String() {
		t.Errorf("got  %s\nwant %s", got, want.String())
	}
}

// TestMessage reads the mail with a parser that is not ours.
func TestMessage(t *testing.T) {
	text, err := example().Message("reports@relay.example", "tls@example.com", noon)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(string(text), "\r\n") {
		if len(line) > 998 || strings.ContainsAny(line, "\r\n") {
			t.Errorf("line %q", line)
		}
	}
	m, err := mail.ReadMessage(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"Tls-Report-Domain": "example.com", "Tls-Report-Submitter": "relay.example", "Tls-Required": "No",
		"From": "<reports@relay.example>", "To": "<tls@example.com>",
		"Subject": "Report Domain: example.com Submitter: relay.example Report-ID: <20261123.example.com.n1@relay.example>",
	} {
		if got := strings.ReplaceAll(m.Header.Get(name), "\t", ""); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/report" || params["report-type"] != "tlsrpt" {
		t.Fatalf("%s %v %v", kind, params, err)
	}
	parts := multipart.NewReader(m.Body, params["boundary"])
	first, err := parts.NextPart()
	if err != nil || !strings.HasPrefix(first.Header.Get("Content-Type"), "text/plain") {
		t.Fatal(err)
	}
	second, err := parts.NextPart()
	if err != nil || second.Header.Get("Content-Type") != "application/tlsrpt+gzip" {
		t.Fatal(err)
	}
	if name := second.FileName(); name != "relay.example!example.com!1795392000!1795478399!20261123-example-com-n1-relay-example.json.gz" {
		t.Errorf("file name %s", name)
	}
	entity, err := message.Read(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	reader := entity.MultipartReader()
	_, _ = reader.NextPart()
	attached, err := reader.NextPart()
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(attached.Body)
	if err != nil || !strings.Contains(decompress(t, body), `"report-id"`) {
		t.Errorf("%v", err)
	}
	if _, err := parts.NextPart(); err != io.EOF {
		t.Errorf("more parts: %v", err)
	}
}

// desk is where reports go in tests.
type desk struct {
	texts   []string
	refuse  bool
	mails   []string
	lookups int
}

func (d *desk) options() Options {
	return Options{
		From: "reports@relay.example", Contact: "postmaster@relay.example", Submitter: "relay.example", Node: "n1",
		Log: slog.New(slog.DiscardHandler),
		TXT: func(_ context.Context, name string) ([]string, error) {
			d.lookups++
			if name != "_smtp._tls.example.com" {
				return nil, ErrNoRecord
			}
			return d.texts, nil
		},
		Submit: func(_ context.Context, from, to string, content []byte) error {
			if d.refuse {
				return errors.New("no majority")
			}
			d.mails = append(d.mails, to)
			return nil
		},
	}
}

// TestReporterReportsEachDayOnce: between midnight and four o'clock, what was
// counted the day before, once, and again later where it fails, for a day.
func TestReporterReportsEachDayOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)))
		d := &desk{texts: []string{"v=TLSRPTv1; rua=mailto:tls@example.com"}}
		r := NewReporter()
		r.Set(d.options())
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); _ = r.Run(ctx) }()
		session := Session{Domain: "example.com", Policy: Policy{Type: NoPolicy, Domain: "example.com"}}
		time.Sleep(time.Hour)
		r.Count(session)
		r.Count(Session{Domain: "other.example", Policy: session.Policy})
		time.Sleep(11 * time.Hour) // midnight
		if len(d.mails) != 0 {
			t.Error("reported before the day was over")
		}
		time.Sleep(4*time.Hour + exchange)
		if len(d.mails) != 1 {
			t.Fatalf("reported %d times", len(d.mails))
		}
		lookups := d.lookups
		time.Sleep(20 * time.Hour)
		if len(d.mails) != 1 || d.lookups != lookups {
			t.Errorf("reported again: %v", d.mails)
		}
		d.refuse = true
		r.Count(session)
		time.Sleep(28*time.Hour + exchange)
		d.refuse = false
		time.Sleep(12 * time.Hour)
		if len(d.mails) != 2 {
			t.Errorf("after failures: %v", d.mails)
		}
		d.refuse = true
		r.Count(session)
		time.Sleep(80 * time.Hour)
		if len(r.pending) != 0 {
			t.Error("never given up")
		}
		r.Set(Options{})
		r.Count(session)
		if len(r.tally.days) != 0 {
			t.Error("counted though it is off")
		}
		cancel()
		<-ended
	})
}

// TestPost: RFC 8460, section 5.4.
func TestPost(t *testing.T) {
	var got []string
	status := http.StatusServiceUnavailable
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = append(got, r.Method+" "+r.URL.Path+" "+r.Header.Get("Content-Type")+" "+decompress(t, body)[:20])
		w.WriteHeader(status)
	}))
	defer server.Close()
	d := &desk{texts: []string{"v=TLSRPTv1; rua=" + server.URL + "/tls"}}
	o := d.options()
	o.Client = server.Client()
	if err := o.filled().send(t.Context(), example()); err == nil {
		t.Error("503 counts as success")
	}
	status = http.StatusCreated
	if err := o.filled().send(t.Context(), example()); err != nil {
		t.Error(err)
	}
	if want := `POST /tls application/tlsrpt+gzip {"organization-name"`; len(got) != 2 || got[1] != want {
		t.Errorf("got %q", got)
	}
	// One of two places is enough.
	d.texts[0] += ",mailto:tls@example.com"
	status = http.StatusServiceUnavailable
	if err := o.filled().send(t.Context(), example()); err != nil || len(d.mails) != 1 {
		t.Errorf("%v %v", err, d.mails)
	}
}

// book is a ledger of several nodes, of which the first that asks reports.
type book struct {
	sync.Mutex
	days map[Day]map[string]map[string]Counts
}

type page struct {
	*book
	node string
}

func (p page) Publish(_ context.Context, day Day, domain string, counts Counts) {
	p.Lock()
	defer p.Unlock()
	if p.days[day] == nil {
		p.days[day] = map[string]map[string]Counts{}
	}
	if p.days[day][domain] == nil {
		p.days[day][domain] = map[string]Counts{}
	}
	p.days[day][domain][p.node] = counts
}

func (p page) Collect(_ context.Context, day Day) (map[string]Counts, bool) {
	p.Lock()
	defer p.Unlock()
	out := map[string]Counts{}
	for domain, nodes := range p.days[day] {
		for _, counts := range nodes {
			out[domain] = out[domain].Add(counts)
		}
	}
	delete(p.days, day)
	return out, true
}

// TestOneReportForTheCluster: three nodes count, one reports the sum.
func TestOneReportForTheCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(noon))
		d := &desk{texts: []string{"v=TLSRPTv1; rua=mailto:tls@example.com"}}
		b := &book{days: map[Day]map[string]map[string]Counts{}}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{}, 3)
		var reports []string
		for _, node := range []string{"n1", "n2", "n3"} {
			r := NewReporter()
			o := d.options()
			o.Node, o.Ledger = node, page{b, node}
			o.Submit = func(_ context.Context, _, _ string, content []byte) error {
				entity, err := message.Read(bytes.NewReader(content))
				if err != nil {
					return err
				}
				reader := entity.MultipartReader()
				_, _ = reader.NextPart()
				part, _ := reader.NextPart()
				body, _ := io.ReadAll(part.Body)
				reports = append(reports, decompress(t, body))
				return nil
			}
			r.Set(o)
			go func() { _ = r.Run(ctx); ended <- struct{}{} }()
			r.Count(Session{Domain: "example.com", Policy: Policy{Type: NoPolicy, Domain: "example.com"}})
		}
		time.Sleep(17 * time.Hour)
		if len(reports) != 1 || !strings.Contains(reports[0], `"total-successful-session-count":3`) ||
			!strings.Contains(reports[0], `"report-id":"20261123.example.com.cluster@relay.example"`) {
			t.Errorf("%q", reports)
		}
		cancel()
		for range 3 {
			<-ended
		}
	})
}
