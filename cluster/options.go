package cluster

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"quorumta/cluster/control"
)

// Options says what a node is. Zero means a default only where it is said.
type Options struct {
	// Name is the node's name in Members.
	Name string
	// Listen is the address of the cluster port, host:port.
	Listen string
	// Members are name and cluster address of all nodes, this one included. They
	// found the cluster at its first start; later they are who is asked first,
	// until the node has the cluster's map, and where this node is itself.
	// Nil means a node of its own, which needs neither identity nor port.
	Members map[string]string
	// Incarnations are the members' incarnations as init wrote them. They are
	// needed at first start; without them an empty Dir is refused.
	Incarnations map[string]string
	// ClusterID is the cluster's random id as init wrote it. "" takes the id
	// that Dir has.
	ClusterID string
	// Joining: the cluster runs already and has taken this node in; Incarnations
	// has its own alone, and its first start founds nothing.
	Joining bool
	// Shards is how many shards a new cluster has; 0 means one per member, and
	// that it goes on to follow the number of members.
	Shards int
	// Replication is how many replicas a shard has in a new cluster, where there
	// are members enough: 1, 3 or 5; 0 means 3. A cluster that is founded keeps
	// its own.
	Replication int
	// Level is the newest event level that this program knows.
	Level int
	// Dir holds the node's data: id, log, state, snapshots and marks below it.
	Dir string
	// FS is the file system of Dir; nil means the machine's own.
	FS vfs.FS
	// TLS is the configuration of both sides of the cluster port: certificate
	// of this node, CA, client certificates required. Nil means plain TCP,
	// which is for tests alone.
	TLS *tls.Config
	// Network makes the connections; nil means TCP.
	Network Network
	// Heartbeat is Raft's heartbeat and election time-out; 0 means 1 s.
	Heartbeat time.Duration
	// FreeDisk is the floor of PROTOCOL 31, bytes; 0 means none.
	FreeDisk uint64
	// TrailingBytes is how much log a shard keeps behind its snapshot, so that a
	// replica which was away needs no whole state (PROTOCOL 9); 0 means 1 GiB.
	TrailingBytes int64
	// SnapshotBytes is by how much a shard's log grows before a snapshot is
	// taken and the log is cut; 0 means TrailingBytes, but at least 16 and at
	// most 256 MiB.
	SnapshotBytes int64
	// MemoryBytes bounds memtables and caches of both stores together; 0
	// means 256 MiB.
	MemoryBytes int64
	// Scrub is how often the whole states of a shard's replicas are compared; 0
	// means once a day.
	Scrub time.Duration
	// Join answers a node that has no certificate yet and wants to join, or says
	// why not; nil refuses. CA is the CA's certificate, DER, for who joins.
	Join func(ctx context.Context, request []byte) ([]byte, error)
	CA   []byte
	// Version is reported to the other members.
	Version string
	// Log gets what happens; nil means slog.Default.
	Log *slog.Logger
	// Tracer and Meter; nil means none.
	Tracer trace.Tracer
	Meter  metric.Meter
	// Fatal is called once when the node's storage cannot be trusted any
	// longer, and must not return to its caller's work: the process ends, or a
	// test's node counts as dead. Nil means: log, and exit with status 1.
	Fatal func(error)
}

// Network makes and takes the connections between nodes.
type Network interface {
	Listen(address string) (net.Listener, error)
	Dial(ctx context.Context, address string) (net.Conn, error)
}

// complete fills in the defaults and checks what has none.
func (o *Options) complete() error {
	if o.alone() {
		o.Name = cmp.Or(o.Name, "n1")
		o.Members = map[string]string{o.Name: ""}
		o.Listen = ""
	}
	if _, ok := o.Members[o.Name]; !ok {
		return fmt.Errorf("node %q is not among the members", o.Name)
	}
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Network == nil {
		o.Network = tcp{}
	}
	o.Dir = cmp.Or(o.Dir, "data")
	o.Scrub = cmp.Or(o.Scrub, 24*time.Hour)
	o.Heartbeat = cmp.Or(o.Heartbeat, time.Second)
	o.TrailingBytes = cmp.Or(o.TrailingBytes, 1<<30)
	o.SnapshotBytes = cmp.Or(o.SnapshotBytes, min(max(o.TrailingBytes, 16<<20), 256<<20))
	o.MemoryBytes = cmp.Or(o.MemoryBytes, 256<<20)
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Tracer == nil {
		o.Tracer = tracenoop.NewTracerProvider().Tracer("")
	}
	if o.Meter == nil {
		o.Meter = noop.NewMeterProvider().Meter("")
	}
	if o.Fatal == nil {
		log := o.Log
		o.Fatal = func(err error) {
			log.Error("the node stops: its storage cannot be trusted", "err", err)
			os.Exit(1)
		}
	}
	if o.Shards < 0 || o.Shards > int(control.LastShard) {
		return fmt.Errorf("%d shards: from 0, which means one per member, to %d", o.Shards, control.LastShard)
	}
	if !slices.Contains([]int{0, 1, 3, 5}, o.Replication) {
		return fmt.Errorf("%d replicas of a shard: 1, 3 or 5 (an even number survives no more losses than one fewer does)", o.Replication)
	}
	if o.TrailingBytes < 0 {
		return fmt.Errorf("%d bytes of log behind a snapshot: 0, which means 1 GiB, or more", o.TrailingBytes)
	}
	return nil
}

// alone reports whether the node is a cluster of its own: it has no members
// beside it, and no identity was prepared for it.
func (o *Options) alone() bool {
	return len(o.Members) == 0 || (len(o.Members) == 1 && o.FS != nil && o.ClusterID == "")
}

// tcp is the network of real machines.
type tcp struct{}

// Listen implements Network.
func (tcp) Listen(address string) (net.Listener, error) { return net.Listen("tcp", address) }

// Dial implements Network.
func (tcp) Dial(ctx context.Context, address string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", address)
}
