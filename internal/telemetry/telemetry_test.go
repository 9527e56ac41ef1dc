package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/metric"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

func start(t *testing.T, o Options) *Telemetry {
	t.Helper()
	if o.LogTo == nil {
		o.LogTo = io.Discard
	}
	tel, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		tel.Shutdown(ctx)
	})
	return tel
}

// clean removes what the machine's environment says about telemetry.
func clean(t *testing.T) {
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "OTEL_") {
			t.Setenv(name, "")
		}
	}
}

// traceSink keeps the requests of an OTLP exporter.
type traceSink struct {
	collector.UnimplementedTraceServiceServer
	got chan *collector.ExportTraceServiceRequest
}

func (s traceSink) Export(_ context.Context, r *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	s.got <- r
	return &collector.ExportTraceServiceResponse{}, nil
}

func (s traceSink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var m collector.ExportTraceServiceRequest
	if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(body, &m) != nil {
		http.Error(w, "bad request", http.StatusBadRequest)
		return
	}
	s.got <- &m
}

func TestSpansLeaveByBothProtocols(t *testing.T) {
	for _, p := range []string{"grpc", "http/protobuf"} {
		t.Run(p, func(t *testing.T) {
			clean(t)
			sink := traceSink{got: make(chan *collector.ExportTraceServiceRequest, 1)}
			var address string
			if p == "grpc" {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				s := grpc.NewServer()
				collector.RegisterTraceServiceServer(s, sink)
				go s.Serve(l)
				defer s.Stop()
				address = l.Addr().String()
			} else {
				s := httptest.NewServer(sink)
				defer s.Close()
				address = s.Listener.Addr().String()
			}
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+address)
			t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", p)
			t.Setenv("OTEL_METRICS_EXPORTER", "none")
			t.Setenv("OTEL_SERVICE_NAME", "relay-under-test")
			tel := start(t, Options{Service: "quorumta", Node: "n1"})
			_, span := tel.Tracer("smtp").Start(t.Context(), "smtp.transaction")
			span.End()
			if err := tel.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			m := <-sink.got
			spans := m.ResourceSpans[0].ScopeSpans[0]
			if spans.Spans[0].Name != "smtp.transaction" || spans.Scope.Name != "quorumta/smtp" {
				t.Errorf("exported %v", spans)
			}
			attributes := map[string]string{}
			for _, a := range m.ResourceSpans[0].Resource.Attributes {
				attributes[a.Key] = a.Value.GetStringValue()
			}
			if attributes["service.name"] != "relay-under-test" || attributes["service.instance.id"] != "n1" {
				t.Errorf("resource %v", attributes)
			}
		})
	}
}

func TestExportsFollowTheEnvironment(t *testing.T) {
	for _, c := range []struct {
		env  string
		want exports
		bad  bool
	}{
		{env: ""},
		{env: "OTEL_EXPORTER_OTLP_ENDPOINT=http://x", want: exports{exportHTTP, exportHTTP}},
		{env: "OTEL_EXPORTER_OTLP_ENDPOINT=http://x OTEL_TRACES_EXPORTER=none", want: exports{exportNone, exportHTTP}},
		{env: "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://x OTEL_EXPORTER_OTLP_PROTOCOL=grpc", want: exports{exportGRPC, exportNone}},
		{env: "OTEL_EXPORTER_OTLP_ENDPOINT=http://x OTEL_EXPORTER_OTLP_PROTOCOL=grpc OTEL_EXPORTER_OTLP_METRICS_PROTOCOL=http/protobuf",
			want: exports{exportGRPC, exportHTTP}},
		{env: "OTEL_TRACES_EXPORTER=otlp", want: exports{exportHTTP, exportNone}},
		{env: "OTEL_EXPORTER_OTLP_ENDPOINT=http://x OTEL_SDK_DISABLED=true"},
		{env: "OTEL_TRACES_EXPORTER=zipkin", bad: true},
		{env: "OTEL_EXPORTER_OTLP_ENDPOINT=http://x OTEL_EXPORTER_OTLP_PROTOCOL=http/json", bad: true},
	} {
		env := map[string]string{}
		for _, kv := range strings.Fields(c.env) {
			k, v, _ := strings.Cut(kv, "=")
			env[k] = v
		}
		got, err := readExports(func(k string) string { return env[k] })
		if (err != nil) != c.bad || (!c.bad && got != c.want) {
			t.Errorf("%s: %v, %v", c.env, got, err)
		}
	}
}

func get(t *testing.T, h http.Handler, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	return w.Code, w.Body.String()
}

func TestPageHasTheNames(t *testing.T) {
	clean(t)
	tel := start(t, Options{Service: "quorumta", Version: "1"})
	m := tel.Meter("smtp")
	accepted, _ := m.Int64Counter("quorumta_smtp_messages")
	accepted.Add(t.Context(), 3)
	size, _ := m.Int64Counter("quorumta_smtp_received", metric.WithUnit("By"))
	size.Add(t.Context(), 5)
	took, _ := m.Float64Histogram("quorumta_smtp_transaction_duration", metric.WithUnit("s"))
	took.Record(t.Context(), 0.003)
	suffixed, _ := m.Float64Histogram("quorumta_dns_lookup_duration_seconds", metric.WithUnit("s"))
	suffixed.Record(t.Context(), 0.003)
	own, _ := m.Int64Histogram("quorumta_smtp_message_size", metric.WithUnit("By"), metric.WithExplicitBucketBoundaries(1000, 2000))
	own.Record(t.Context(), 1500)
	status, page := get(t, tel.Handler(func() error { return nil }), "/metrics")
	if status != http.StatusOK {
		t.Fatal(status)
	}
	for _, want := range []string{
		"quorumta_smtp_messages_total 3",
		"quorumta_smtp_received_bytes_total 5",
		`quorumta_smtp_transaction_duration_seconds_bucket{le="0.005"} 1`,
		`quorumta_dns_lookup_duration_seconds_bucket{le="0.0025"} 0`,
		`quorumta_smtp_message_size_bytes_bucket{le="2000"} 1`,
		"process_resident_memory_bytes ", "go_memory_used_bytes{", `service_version="1"`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	if t.Failed() {
		t.Log(page)
	}
}

func TestReadiness(t *testing.T) {
	clean(t)
	tel := start(t, Options{Service: "quorumta"})
	var reason error
	h := tel.Handler(func() error { return reason })
	if status, _ := get(t, h, "/readyz"); status != http.StatusOK {
		t.Error(status)
	}
	reason = errors.New("draining")
	if status, body := get(t, h, "/readyz"); status != http.StatusServiceUnavailable || body != "draining\n" {
		t.Error(status, body)
	}
	if status, _ := get(t, h, "/healthz"); status != http.StatusOK {
		t.Error(status)
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	clean(t)
	tel := start(t, Options{Service: "quorumta"})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- tel.Serve(ctx, l, func() error { return nil }) }()
	res, err := http.Get("http://" + l.Addr().String() + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestLogLines(t *testing.T) {
	clean(t)
	var b bytes.Buffer
	tel := start(t, Options{Service: "quorumta", Node: "n2", LogTo: &b, LogLevel: slog.LevelInfo})
	p, ok := ParseTraceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	if !ok {
		t.Fatal("a good traceparent is refused")
	}
	tel.Log().With("id", "m1").DebugContext(t.Context(), "not this")
	tel.Log().With("id", "m1").InfoContext(p.Context(t.Context()), "accepted", "due", time.Unix(0, 0))
	if err := tel.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	var line map[string]any
	if err := json.Unmarshal(b.Bytes(), &line); err != nil {
		t.Fatal(err, b.String())
	}
	for k, want := range map[string]string{"msg": "accepted", "node": "n2", "id": "m1",
		"trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "b7ad6b7169203331", "due": "1970-01-01T00:00:00.000Z"} {
		if line[k] != want {
			t.Errorf("%s is %v, not %s", k, line[k], want)
		}
	}
	if at, _ := line["time"].(string); !strings.HasSuffix(at, "Z") {
		t.Errorf("time %s", at)
	}
	if _, err := Start(t.Context(), Options{LogFormat: "xml"}); err == nil {
		t.Error("a log format that does not exist is taken")
	}
}

func TestTraceparent(t *testing.T) {
	const good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	p, ok := ParseTraceparent(good)
	if !ok || p.String() != good {
		t.Fatalf("%v %v", p, ok)
	}
	if FromContext(p.Context(t.Context())) != p || FromContext(t.Context()).String() != "" {
		t.Error("a context changes it")
	}
	for s, want := range map[string]bool{
		"": false, good[:54]: false, good + "-x": false, "01" + good[2:] + "-x": true, "01" + good[2:] + "x": false,
		"ff" + good[2:]: false, strings.ToUpper(good): false,
		"00-00000000000000000000000000000000-b7ad6b7169203331-01": false,
		"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01": false,
		"00-0af7651916cd43dd8448eb211c8031zz-b7ad6b7169203331-01": false,
	} {
		if _, ok := ParseTraceparent(s); ok != want {
			t.Errorf("%q: %t", s, ok)
		}
	}
}
