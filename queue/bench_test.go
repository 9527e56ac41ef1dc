package queue

import (
	"context"
	"io"
	"log/slog"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"quorumta/cluster"
)

// BenchmarkSubmit is a message of 10 KB from each of many sessions, on one
// node whose disk is memory: what the queue costs by itself.
func BenchmarkSubmit(b *testing.B) {
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	node, err := cluster.Open(cluster.Options{Name: "n1", Dir: "data", FS: vfs.NewMem(), Log: log})
	if err != nil {
		b.Fatal(err)
	}
	q := New(node, Options{Log: log})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- node.Run(ctx) }()
	go func() { done <- q.Run(ctx) }()
	defer func() {
		cancel()
		<-done
		<-done
		if err := node.Close(); err != nil {
			b.Error(err)
		}
	}()
	for q.desk.office(1) == nil {
		_, changed := q.desk.all()
		if q.desk.office(1) == nil {
			<-changed
		}
	}
	body := make([]byte, 10<<10)
	b.SetParallelism(25)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			u, err := q.Begin(ctx, received)
			if err != nil {
				b.Error(err)
				return
			}
			if _, err := u.Write(body); err != nil {
				b.Error(err)
				return
			}
			if _, err := u.Commit(submission("a@b.example")); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
