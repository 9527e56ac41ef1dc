package telemetry

import (
	"context"
	"fmt"
	"os"
	"strings"

	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// protocol is how a signal is exported.
type protocol string

const (
	exportNone protocol = ""
	exportGRPC protocol = "grpc"
	exportHTTP protocol = "http/protobuf"
)

// exports is what the environment wants exported.
type exports struct {
	traces, metrics protocol
}

// readExports reads the variables of OpenTelemetry's specification ("SDK
// Environment Variables" and "OTLP Exporter"). It differs in one point: an
// exporter is made only if an endpoint is set or the exporter is asked for by
// name, not by default; most relays have no collector on localhost.
func readExports(getenv func(string) string) (exports, error) {
	if getenv == nil {
		getenv = os.Getenv
	}
	if strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true") {
		return exports{}, nil
	}
	traces, err := readSignal(getenv, "TRACES")
	if err != nil {
		return exports{}, err
	}
	metrics, err := readSignal(getenv, "METRICS")
	return exports{traces, metrics}, err
}

func readSignal(getenv func(string) string, signal string) (protocol, error) {
	specific := func(key string) string {
		if v := getenv("OTEL_EXPORTER_OTLP_" + signal + "_" + key); v != "" {
			return v
		}
		return getenv("OTEL_EXPORTER_OTLP_" + key)
	}
	name := "OTEL_" + signal + "_EXPORTER"
	switch exporter := getenv(name); exporter {
	case "none":
		return exportNone, nil
	case "":
		if specific("ENDPOINT") == "" {
			return exportNone, nil
		}
	case "otlp":
	default:
		return exportNone, fmt.Errorf("%s=%s: otlp or none is expected", name, exporter)
	}
	switch p := protocol(specific("PROTOCOL")); p {
	case exportGRPC, exportHTTP:
		return p, nil
	case "": // the specification's default
		return exportHTTP, nil
	default:
		return exportNone, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL=%s: grpc or http/protobuf is expected", p)
	}
}

// traceExporter is nil if none is wanted. Endpoint, headers, certificates and
// time-outs are read from the environment by the exporters.
func (e exports) traceExporter(ctx context.Context) (sdktrace.SpanExporter, error) {
	switch e.traces {
	case exportGRPC:
		return otlptracegrpc.New(ctx)
	case exportHTTP:
		return otlptracehttp.New(ctx)
	}
	return nil, nil
}

// metricExporter is nil if none is wanted.
func (e exports) metricExporter(ctx context.Context) (sdkmetric.Exporter, error) {
	switch e.metrics {
	case exportGRPC:
		return otlpmetricgrpc.New(ctx, otlpmetricgrpc.WithAggregationSelector(aggregation))
	case exportHTTP:
		return otlpmetrichttp.New(ctx, otlpmetrichttp.WithAggregationSelector(aggregation))
	}
	return nil, nil
}
