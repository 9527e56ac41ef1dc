// Package telemetry is where traces, metrics and logs leave the program.
//
// Spans and metrics go out by OTLP where the standard environment variables
// say so, and nowhere otherwise. Metrics also stand on a Prometheus page, next
// to /healthz and /readyz. Logs go to one stream, in UTC, each line with the
// ids of the span that it was written in.
//
// The other rooms are given a tracer, a meter and a logger and know nothing of
// exporters.
package telemetry
