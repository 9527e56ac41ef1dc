package cluster_test

import (
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"quorumta/cluster"
)

// A cluster is founded with as many replicas of a shard as its options say,
// and every start goes on with those of the map.
func TestReplicasOfANewCluster(t *testing.T) {
	replicas := 5
	tune := func(_ string, o *cluster.Options) { o.Replication = replicas }
	inTunedWorld(t, 5, 1, tune, func(w *world) {
		w.put(1, "a=1")
		w.placed(1, 5)
		w.stop("n2")
		replicas = 3
		w.start("n2")
		w.put(1, "b=1")
		w.placed(1, 5)
	})
}

func TestOptionsThatMakeNoSense(t *testing.T) {
	for want, tune := range map[string]func(*cluster.Options){
		"4 replicas":   func(o *cluster.Options) { o.Replication = 4 },
		"-1 bytes":     func(o *cluster.Options) { o.TrailingBytes = -1 },
		"-1 shards":    func(o *cluster.Options) { o.Shards = -1 },
		"5000 shards":  func(o *cluster.Options) { o.Shards = 5000 },
		"among the me": func(o *cluster.Options) { o.Members, o.ClusterID = map[string]string{"n2": "", "n3": ""}, "c" },
	} {
		o := cluster.Options{Name: "n1", FS: vfs.NewMem()}
		tune(&o)
		if _, err := cluster.Open(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
