package smtp_test

import (
	"slices"
	"testing"

	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"quorumta/smtp"
)

func TestMetrics(t *testing.T) {
	reader := metric.NewManualReader()
	h := open(t, func(o *smtp.Options) {
		o.Meter = metric.NewMeterProvider(metric.WithReader(reader)).Meter("smtp")
	})
	c := h.dial()
	c.hear("220")
	c.ask("EHLO x", "250")
	c.send("x\r\n")
	c.ask("MAIL FROM:<a@example.net>", "250")
	c.ask("RCPT TO:<b@elsewhere.example>", "550")
	c.ask("QUIT", "221")
	c.gone()
	if err := h.server.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	var data metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &data); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range data.ScopeMetrics[0].Metrics {
		names = append(names, m.Name)
		switch m.Name {
		case "quorumta_smtp_open_connections":
			if n := m.Data.(metricdata.Sum[int64]).DataPoints[0].Value; n != 0 {
				t.Errorf("%d open connections", n)
			}
		case "quorumta_smtp_refused":
			points := m.Data.(metricdata.Sum[int64]).DataPoints
			reason, _ := points[0].Attributes.Value("reason")
			if len(points) != 1 || points[0].Value != 1 || reason.AsString() != "policy" {
				t.Errorf("refused %+v", points)
			}
		case "quorumta_smtp_message_size_bytes":
			if p := m.Data.(metricdata.Histogram[int64]).DataPoints[0]; p.Count != 1 || p.Sum != 3 {
				t.Errorf("sizes %+v", p)
			}
		}
	}
	slices.Sort(names)
	want := []string{"quorumta_smtp_connections", "quorumta_smtp_message_size_bytes", "quorumta_smtp_open_connections",
		"quorumta_smtp_refused", "quorumta_smtp_replies", "quorumta_smtp_transaction_duration_seconds"}
	if !slices.Equal(names, want) {
		t.Errorf("metrics %v", names)
	}
}
