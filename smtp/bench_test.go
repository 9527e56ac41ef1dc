package smtp_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/sdk/metric"

	"quorumta/smtp"
)

// BenchmarkAccept takes messages over one connection into a queue in memory,
// with metrics and a log that goes nowhere. The client is a bare socket, which
// sends the envelope in one write and the content in another.
func BenchmarkAccept(b *testing.B) {
	for _, size := range []int{1 << 10, 10 << 10, 100 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			h := open(b, func(o *smtp.Options) {
				o.Log = slog.New(slog.NewJSONHandler(nowhere{}, nil))
				o.Meter = metric.NewMeterProvider(metric.WithReader(metric.NewManualReader())).Meter("smtp")
			})
			c := bareSocket(b, h.address())
			c.hear()
			c.say("EHLO x\r\n")
			c.hear()
			content := strings.Repeat(strings.Repeat("x", 72)+"\r\n", size/74) + ".\r\n"
			b.ReportAllocs()
			for b.Loop() {
				c.say("MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n")
				c.hear()
				c.say(content)
				c.hear()
			}
		})
	}
}

// nowhere is where a log goes that nobody reads.
type nowhere struct{}

func (nowhere) Write(p []byte) (int, error) { return len(p), nil }
