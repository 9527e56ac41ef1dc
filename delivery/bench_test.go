package delivery

import (
	"io"
	"log/slog"
	"sync"
	"testing"

	"quorumta/delivery/route"
	"quorumta/queue"
)

// BenchmarkMessage is the whole way of a message at a relay of one node with a
// smarthost: it is submitted, claimed, sent and recorded. The queue, its log in
// memory, and the host are the real ones of this package's tests, so what they
// allocate is counted as well.
func BenchmarkMessage(b *testing.B) {
	log := slog.New(slog.NewJSONHandler(io.Discard, nil))
	h := openLogged(b, log, func(o *Options) {
		o.Router = table(b, &world{}, route.Router{Name: "smarthost", Hosts: [][]string{{"192.0.2.1:25"}}})
	})
	host := h.remote("them.example")
	h.submit(nil, "first@them.example")
	h.waitEmpty()
	const sessions = 20
	b.ReportAllocs()
	b.ResetTimer()
	var all sync.WaitGroup
	for i := range sessions {
		all.Go(func() {
			for range (b.N + i) / sessions {
				h.submit(func(s *queue.Submission) { s.Client.IP = "192.0.2.9" }, "a@them.example")
			}
		})
	}
	all.Wait()
	h.waitEmpty()
	b.StopTimer()
	if n := len(host.got()); n != b.N+1 {
		b.Fatalf("%d messages came, want %d", n, b.N+1)
	}
}
