package dns

import (
	"fmt"
	"net/netip"
	"testing"

	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

func TestMetrics(t *testing.T) {
	reader := metric.NewManualReader()
	provider := metric.NewMeterProvider(metric.WithReader(reader))
	z := testZone()
	s, err := Prepare(Options{Servers: []netip.AddrPort{serve(t, z)}, Trust: TrustNone})
	if err != nil {
		t.Fatal(err)
	}
	r, err := New(s, 0, provider.Meter("dns"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, domain := range []string{"two.example", "two.example", "missing.example", "broken.example", "big.example"} {
		_, _, _ = r.LookupMX(t.Context(), domain)
	}
	got := map[string]int64{}
	var data metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &data); err != nil {
		t.Fatal(err)
	}
	for _, m := range data.ScopeMetrics[0].Metrics {
		switch d := m.Data.(type) {
		case metricdata.Sum[int64]:
			for _, p := range d.DataPoints {
				network, _ := p.Attributes.Value("network")
				got[fmt.Sprintf("%s %s", m.Name, network.AsString())] += p.Value
			}
		case metricdata.Gauge[int64]:
			got[m.Name] = d.DataPoints[0].Value
		case metricdata.Histogram[float64]:
			for _, p := range d.DataPoints {
				result, _ := p.Attributes.Value("result")
				cached, _ := p.Attributes.Value("cached")
				got[fmt.Sprintf("%s %s %t", m.Name, result.AsString(), cached.AsBool())] += int64(p.Count)
			}
		}
	}
	want := map[string]int64{
		"quorumta_dns_lookup_duration found false":     2,
		"quorumta_dns_lookup_duration found true":      1,
		"quorumta_dns_lookup_duration not_found false": 1,
		"quorumta_dns_lookup_duration temporary false": 1,
		"quorumta_dns_questions udp":                   5, // the broken one is asked twice
		"quorumta_dns_questions tcp":                   1, // the big one
		"quorumta_dns_cache_entries":                   4,
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}
