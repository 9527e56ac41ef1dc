package security

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/metric/noop"

	"quorumta/cluster"
	"quorumta/internal/tlspolicy/mtasts"
	"quorumta/internal/tlspolicy/tlsrpt"
	"quorumta/queue"
	"quorumta/queue/event"
	"quorumta/queue/state"
)

// open starts a node's queue, and waits until it keeps notes.
func open(t *testing.T) *queue.Queue {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	node, err := cluster.Open(cluster.Options{Name: "n1", Shards: 1, FS: vfs.NewMem(), MemoryBytes: 16 << 20, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	q := queue.New(node, queue.Options{Log: log, SpoolDir: t.TempDir()})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- node.Run(ctx) }()
	go func() { done <- q.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		for range 2 {
			if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}
		if err := node.Close(); err != nil {
			t.Error(err)
		}
	})
	for q.Ready() != nil {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-t.Context().Done():
			t.Fatal("the queue is not ready")
		}
	}
	return q
}

func TestPoliciesAreNotes(t *testing.T) {
	q := open(t)
	p := policies{q}
	if _, ok := p.Load(t.Context(), "example.com"); ok {
		t.Error("a policy from nowhere")
	}
	now := time.Now().UTC().Truncate(time.Second)
	want := mtasts.Remembered{
		Policy: mtasts.Policy{Mode: mtasts.Enforce, MX: []string{"*.example.com"}, MaxAge: time.Hour, Lines: []string{"version: STSv1"}},
		ID:     "1", Fetched: now, Until: now.Add(time.Hour),
	}
	p.Store(t.Context(), "example.com", want)
	got, ok := p.Load(t.Context(), "example.com")
	if diff := cmp.Diff(want, got); !ok || diff != "" {
		t.Errorf("%t %s", ok, diff)
	}
	if err := q.Note(t.Context(), "mta-sts/broken.example", "nonsense", time.Time{}); err != nil {
		t.Fatal(err)
	}
	if _, ok := p.Load(t.Context(), "broken.example"); ok {
		t.Error("nonsense is a policy")
	}
}

// TestOneNodeReportsADay: what all nodes have counted, once; of a run of a node
// the last word counts.
func TestOneNodeReportsADay(t *testing.T) {
	q := open(t)
	n1, n2 := ledger{q, "n1.a"}, ledger{q, "n2.b"}
	day := tlsrpt.DayOf(time.Now())
	counts := func(n int64) tlsrpt.Counts {
		return tlsrpt.Counts{{Policy: tlsrpt.Policy{Type: tlsrpt.NoPolicy, Domain: "example.com"}, Summary: tlsrpt.Summary{Successful: n}}}
	}
	n1.Publish(t.Context(), day, "example.com", counts(1))
	n1.Publish(t.Context(), day, "example.com", counts(5))
	n2.Publish(t.Context(), day, "example.com", counts(2))
	n2.Publish(t.Context(), day+1, "example.com", counts(100))
	got, all := n2.Collect(t.Context(), day)
	if diff := cmp.Diff(map[string]tlsrpt.Counts{"example.com": counts(7)}, got); !all || diff != "" {
		t.Errorf("%t %s", all, diff)
	}
	if got, all := n1.Collect(t.Context(), day); !all || len(got) != 0 {
		t.Errorf("both report: %v", got)
	}
}

// TestReportsGoThroughTheQueue with what RFC 8460, section 5.3, and RFC 8689
// want of them.
func TestReportsGoThroughTheQueue(t *testing.T) {
	q := open(t)
	s, err := New(q, slog.New(slog.DiscardHandler), noop.NewMeterProvider().Meter(""))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.submit(t.Context(), "reports@relay.example", "tls@example.com", []byte("Subject: x\r\n\r\ny\r\n")); err != nil {
		t.Fatal(err)
	}
	var found *event.Accepted
	err = q.Events(t.Context(), "", false, func(r state.Record) bool {
		if a, ok := r.Event.(*event.Accepted); ok {
			found = a
		}
		return true
	})
	if err != nil || found == nil || !found.Envelope.TLSOptional || found.Envelope.From.String() != "reports@relay.example" ||
		found.Envelope.Recipients[0].Address.String() != "tls@example.com" {
		t.Errorf("%v %+v", err, found)
	}
	for _, bad := range [][2]string{{"nobody", "a b@"}, {"a@b.example", "a b@@"}} {
		if err := s.submit(t.Context(), bad[0], bad[1], nil); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
