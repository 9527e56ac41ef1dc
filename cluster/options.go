package cluster

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

// Options says what a node is. Zero means a default only where it is said.
type Options struct {
	// Name is the node's name in Members.
	Name string
	// Listen is the address of the cluster port, host:port.
	Listen string
	// Members are name and cluster address of all nodes, this one included.
	// They are read at first start only.
	Members map[string]string
	// Incarnations are the members' incarnations as init wrote them.
	Incarnations map[string]string
	// ClusterID is the cluster's random id as init wrote it.
	ClusterID string
	// Shards is how many shards a new cluster has; 0 means one per member.
	Shards int
	// Dir holds the node's data: id, log and state below it.
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
	// TrailingBytes is how much log a shard keeps behind its snapshot; 0
	// means 1 GiB.
	TrailingBytes int64
	// MemoryBytes bounds memtables and caches of both stores together; 0
	// means 256 MiB.
	MemoryBytes int64
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
