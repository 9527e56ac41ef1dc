package main_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"quorumta/bench/proc"
	"quorumta/bench/sink"
	"quorumta/bench/trial"
)

// span is what the test's collector keeps of one.
type span struct{ node, name, trace string }

// spans collects what nodes export over OTLP/HTTP.
type spans struct {
	mu  sync.Mutex
	all []span
}

func (s *spans) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var q collector.ExportTraceServiceRequest
	if err != nil || proto.Unmarshal(body, &q) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, rs := range q.GetResourceSpans() {
		node := ""
		for _, a := range rs.GetResource().GetAttributes() {
			if a.GetKey() == "service.instance.id" {
				node = a.GetValue().GetStringValue()
			}
		}
		for _, ss := range rs.GetScopeSpans() {
			for _, sp := range ss.GetSpans() {
				s.all = append(s.all, span{node, sp.GetName(), hex.EncodeToString(sp.GetTraceId())})
			}
		}
	}
}

func (s *spans) has(yes func(span) bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sp := range s.all {
		if yes(sp) {
			return true
		}
	}
	return false
}

func TestOneTraceFromTheDeadNodeToTheNext(t *testing.T) {
	got := &spans{}
	server := httptest.NewServer(got)
	t.Cleanup(server.Close)
	tr := try(t, trial.Options{
		Nodes: 3, Sink: sink.Mode{Action: sink.Defer}, Edit: quickRetry,
		Env: []string{
			"OTEL_EXPORTER_OTLP_ENDPOINT=" + server.URL, "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
			"OTEL_METRICS_EXPORTER=none", "OTEL_BSP_SCHEDULE_DELAY=100",
		},
	})
	a := tr.Cluster.Nodes[0]
	if err := submit(a.SMTP, "a@client.example", "b@sink.example", "X-Bench-ID: traced-1\r\nSubject: traced\r\n\r\nx\r\n"); err != nil {
		t.Fatal(err)
	}
	var trace string
	waitFor(t, "the event", func(ctx context.Context) bool {
		trace = acceptedTrace(ctx, t, tr.Cluster)
		return trace != ""
	})
	waitFor(t, "A's spans, of acceptance and of an attempt that was deferred", func(context.Context) bool {
		on := func(name string) bool {
			return got.has(func(s span) bool { return s.node == a.Name && s.name == name && s.trace == trace })
		}
		return on("smtp.transaction") && on("delivery.attempt")
	})
	a.Kill()
	if err := tr.Sink.SetMode(sink.Mode{}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "an attempt of another node in the same trace", func(context.Context) bool {
		return tr.Sink.Stats().Messages == 1 && got.has(func(s span) bool {
			return s.node != a.Name && s.node != "" && s.name == "delivery.attempt" && s.trace == trace
		})
	})
}

// acceptedTrace is the trace id in the record of the one accepted message.
func acceptedTrace(ctx context.Context, t *testing.T, c *proc.Cluster) string {
	t.Helper()
	events, err := c.Events(ctx)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(events)) {
		var e struct {
			Event string `json:"event"`
			Trace string `json:"trace"`
		}
		if json.Unmarshal([]byte(line), &e) == nil && e.Event == "accepted" {
			return e.Trace
		}
	}
	return ""
}
