package cluster_test

import (
	"context"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"quorumta/cluster"
)

// A node without members is a cluster of its own: what the tests of the rooms
// above run on, so it must be ready at once.
func TestNodeOfItsOwn(t *testing.T) {
	node, err := cluster.Open(cluster.Options{FS: vfs.NewMem(), Log: testLog(t, "n1"), Fatal: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	reg := &register{}
	node.Host(func(cluster.ShardID) cluster.Machine { return reg })
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	start := time.Now()
	go func() { ended <- node.Run(ctx) }()
	var term uint64
	for ok := false; !ok; term, ok = node.Term(1) {
		time.Sleep(time.Millisecond)
		if time.Since(start) > 10*time.Second {
			t.Fatal("no office within 10 s")
		}
	}
	t.Log("ready after", time.Since(start))
	results, err := node.Propose(t.Context(), 1, term, []byte("a=1"))
	if err != nil || len(results) != 1 || results[0] != 1 {
		t.Fatalf("Propose: %v, %v", results, err)
	}
	view, done, err := node.View(1)
	if err != nil {
		t.Fatal(err)
	}
	if v, ok := view.Get([]byte("key/a")); !ok || string(v) != "1" {
		t.Errorf("key a is %q, %t", v, ok)
	}
	done()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := node.Close(); err != nil {
		t.Error(err)
	}
}
