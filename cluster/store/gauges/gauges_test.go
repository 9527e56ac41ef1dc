package gauges_test

import (
	"log/slog"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"quorumta/cluster/store"
	"quorumta/cluster/store/gauges"
)

func TestPublish(t *testing.T) {
	s, err := store.Open(store.Options{
		Dir: "data", FS: vfs.NewMem(), MemoryBytes: 8 << 20, Log: slog.New(slog.DiscardHandler),
		Fatal: func(err error) { t.Error(err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := s.Log(1)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.StoreLog(&raft.Log{Index: 1, Term: 1, Data: make([]byte, 5000)}); err != nil {
		t.Fatal(err)
	}
	reader := metric.NewManualReader()
	stop, err := gauges.Publish(metric.NewMeterProvider(metric.WithReader(reader)).Meter("test"), s)
	if err != nil {
		t.Fatal(err)
	}
	var got metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &got); err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	wal := int64(0)
	for _, m := range got.ScopeMetrics[0].Metrics {
		names[m.Name] = true
		if sum, ok := m.Data.(metricdata.Sum[int64]); ok && m.Name == "quorumta_raft_store_written_bytes" {
			for _, p := range sum.DataPoints {
				what, _ := p.Attributes.Value("what")
				which, _ := p.Attributes.Value("store")
				if what.AsString() == "wal" && which.AsString() == "log" {
					wal = p.Value
				}
			}
		}
	}
	if len(names) < 8 || wal < 5000 {
		t.Errorf("%d bytes of WAL in %v", wal, names)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
