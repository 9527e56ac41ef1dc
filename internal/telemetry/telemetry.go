package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/otlptranslator"
	"go.opentelemetry.io/contrib/instrumentation/runtime"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	promexporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Options says who speaks, and how it logs. Where spans and metrics are sent
// is said by the environment alone (see Start).
type Options struct {
	// Service and Version name the program; OTEL_SERVICE_NAME goes before.
	Service string
	Version string
	// Node is the cluster member's name: the resource's service.instance.id,
	// and "node" in every line of the log.
	Node string
	// LogFormat is "json" or "text"; "" means json.
	LogFormat string
	// LogLevel is the lowest level that is logged.
	LogLevel slog.Leveler
	// LogTo takes the log; nil means standard error.
	LogTo io.Writer
	// Getenv reads the environment; nil means os.Getenv. The exporters' own
	// settings (headers, certificates, time-outs) are read from the process's
	// environment in any case.
	Getenv func(string) string
}

// Telemetry is the program's providers.
type Telemetry struct {
	log      *slog.Logger
	flush    func() // of the log
	traces   *sdktrace.TracerProvider
	metrics  *sdkmetric.MeterProvider
	registry *prometheus.Registry
	exports  exports
}

// secondBounds are the buckets of histograms that name none of their own: they
// are all in seconds, from a fast fsync to a client's patience.
var secondBounds = []float64{
	0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300,
}

// Start makes the providers. Of the environment it honours OTEL_SDK_DISABLED,
// OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER and its
// argument, OTEL_TRACES_EXPORTER and OTEL_METRICS_EXPORTER (otlp or none),
// OTEL_EXPORTER_OTLP_PROTOCOL (grpc or http/protobuf) and everything that
// starts with OTEL_EXPORTER_OTLP_, each also for traces and metrics alone.
// Without an endpoint nothing is exported. It fails on settings it cannot
// honour; a collector that does not answer is no failure.
func Start(ctx context.Context, o Options) (*Telemetry, error) {
	log, flush, err := newLog(o)
	if err != nil {
		return nil, err
	}
	t := &Telemetry{log: log, flush: flush, registry: prometheus.NewRegistry()}
	t.exports, err = readExports(o.Getenv)
	if err != nil {
		return nil, err
	}
	who, err := identity(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := t.startTraces(ctx, who); err != nil {
		return nil, err
	}
	if err := t.startMetrics(ctx, who); err != nil {
		return nil, errors.Join(err, t.traces.Shutdown(ctx))
	}
	return t, nil
}

// identity is the resource that all signals belong to.
func identity(ctx context.Context, o Options) (*resource.Resource, error) {
	// The environment comes last, so that it wins.
	r, err := resource.New(ctx,
		resource.WithTelemetrySDK(),
		resource.WithHost(),
		resource.WithProcessPID(),
		resource.WithAttributes(
			attribute.String("service.name", o.Service),
			attribute.String("service.version", o.Version),
			attribute.String("service.instance.id", o.Node),
		),
		resource.WithFromEnv(),
	)
	if errors.Is(err, resource.ErrPartialResource) {
		return r, nil // the host's name is not known, or the like
	}
	if err != nil {
		return nil, fmt.Errorf("reading OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	return r, nil
}

func (t *Telemetry) startTraces(ctx context.Context, who *resource.Resource) error {
	// The sampler and the batches' limits are read from the environment by
	// the provider itself.
	options := []sdktrace.TracerProviderOption{sdktrace.WithResource(who)}
	exporter, err := t.exports.traceExporter(ctx)
	if err != nil {
		return fmt.Errorf("making the trace exporter: %w", err)
	}
	if exporter == nil {
		// Spans nobody will see are not recorded; contexts still pass through.
		options = append(options, sdktrace.WithSampler(sdktrace.NeverSample()))
	} else {
		options = append(options, sdktrace.WithBatcher(exporter))
	}
	t.traces = sdktrace.NewTracerProvider(options...)
	return nil
}

func (t *Telemetry) startMetrics(ctx context.Context, who *resource.Resource) error {
	page, err := promexporter.New(
		promexporter.WithRegisterer(t.registry),
		// Pinned: the default has changed between releases, and dashboards
		// depend on the names.
		promexporter.WithTranslationStrategy(otlptranslator.UnderscoreEscapingWithSuffixes),
		promexporter.WithoutScopeInfo(),
		promexporter.WithAggregationSelector(aggregation),
	)
	if err != nil {
		return fmt.Errorf("making the Prometheus page: %w", err)
	}
	options := []sdkmetric.Option{sdkmetric.WithResource(who), sdkmetric.WithReader(page)}
	exporter, err := t.exports.metricExporter(ctx)
	if err != nil {
		return fmt.Errorf("making the metric exporter: %w", err)
	}
	if exporter != nil {
		options = append(options, sdkmetric.WithReader(sdkmetric.NewPeriodicReader(exporter)))
	}
	t.metrics = sdkmetric.NewMeterProvider(options...)
	err = errors.Join(
		runtime.Start(runtime.WithMeterProvider(t.metrics)),
		t.registry.Register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})),
	)
	if err != nil {
		return fmt.Errorf("starting the process's own metrics: %w", errors.Join(err, t.metrics.Shutdown(ctx)))
	}
	return nil
}

// aggregation is the SDK's own choice, but for the buckets of histograms.
func aggregation(kind sdkmetric.InstrumentKind) sdkmetric.Aggregation {
	if kind == sdkmetric.InstrumentKindHistogram {
		return sdkmetric.AggregationExplicitBucketHistogram{Boundaries: secondBounds}
	}
	return sdkmetric.DefaultAggregationSelector(kind)
}

// Log is the program's logger.
func (t *Telemetry) Log() *slog.Logger { return t.log }

// Tracer is a room's tracer.
func (t *Telemetry) Tracer(room string) trace.Tracer { return t.traces.Tracer("quorumta/" + room) }

// Meter is a room's meter. Instruments are named quorumta_<room>_… in base
// units; the page adds _seconds, _bytes and _total where the name lacks them.
func (t *Telemetry) Meter(room string) metric.Meter { return t.metrics.Meter("quorumta/" + room) }

// Install makes these the process's providers and logger, for code that asks
// for the global ones, and sends OpenTelemetry's own complaints to the log.
// Main calls it, once.
func (t *Telemetry) Install() {
	slog.SetDefault(t.log)
	otel.SetTracerProvider(t.traces)
	otel.SetMeterProvider(t.metrics)
	otel.SetTextMapPropagator(propagation.TraceContext{})
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		t.log.Warn("telemetry is not delivered", "error", err)
	}))
}

// Flush writes the lines of the log that wait, and sends what has gathered, as
// far as ctx allows.
func (t *Telemetry) Flush(ctx context.Context) error {
	t.flush()
	return errors.Join(t.traces.ForceFlush(ctx), t.metrics.ForceFlush(ctx))
}

// Shutdown sends what has gathered and stops, at the latest when ctx ends.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	defer t.flush()
	return errors.Join(t.traces.Shutdown(ctx), t.metrics.Shutdown(ctx))
}
