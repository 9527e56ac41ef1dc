package meters

import (
	"context"

	"go.opentelemetry.io/otel/metric"
)

// Load is what there is now.
type Load struct {
	// Jobs are those in the window; Waiting have no connection.
	Jobs, Waiting int
	// Connections are open or being opened; Suspended sites rest.
	Connections, Suspended int
	// Paused are shards that this node leads and may not deliver for; Failures are
	// hosts and addresses that are known to fail.
	Paused, Failures int
}

// Observe reports the load whenever metrics are read.
func Observe(m metric.Meter, load func() Load) error {
	gauges := []struct {
		name, text string
		value      func(Load) int
	}{
		{"quorumta_delivery_jobs", "Jobs in the window.", func(l Load) int { return l.Jobs }},
		{"quorumta_delivery_waiting", "Jobs that wait for a connection.", func(l Load) int { return l.Waiting }},
		{"quorumta_delivery_connections", "Connections open or being opened.", func(l Load) int { return l.Connections }},
		{"quorumta_delivery_offices_paused", "Shards whose mail this node may not deliver now, though it leads them.",
			func(l Load) int { return l.Paused }},
		{"quorumta_delivery_failures_known", "Hosts and addresses that are known to fail, at whatever node.", func(l Load) int { return l.Failures }},
		{"quorumta_delivery_sites_suspended", "Sites that refuse and rest.", func(l Load) int { return l.Suspended }},
	}
	for _, g := range gauges {
		_, err := m.Int64ObservableGauge(g.name, metric.WithDescription(g.text),
			metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
				o.Observe(int64(g.value(load())))
				return nil
			}))
		if err != nil {
			return err
		}
	}
	return nil
}
