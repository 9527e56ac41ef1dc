package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"quorumta/cluster"
	"quorumta/internal/sim"
)

// world is a cluster in one bubble.
type world struct {
	t      *testing.T
	net    *sim.Network
	names  []string
	nodes  map[string]*machine
	shards int
	tune   func(name string, o *cluster.Options) // nil: as they are
	joined int
	depart func(context.Context) error // of the node that is started next; nil: none
}

// machine is one machine of the world: what survives its process, and that.
type machine struct {
	name string
	// incarnation is drawn anew for a node that joins; joins: its first start is
	// not the cluster's.
	incarnation string
	joins       bool
	bare        bool // it has used up what init prepared
	fs          *vfs.MemFS
	node        *cluster.Node
	regs        map[cluster.ShardID]*register
	stop        context.CancelFunc
	ended       chan struct{}
	fatal       error
	mu          sync.Mutex
	ending      error // what Run returned
}

// inWorld runs f with a cluster of so many nodes and shards; at its end the
// nodes that still run are stopped, and the bubble proves that nothing of
// them is left.
func inWorld(t *testing.T, nodes, shards int, f func(w *world)) {
	t.Helper()
	inTunedWorld(t, nodes, shards, nil, f)
}

// inTunedWorld is inWorld with other options.
func inTunedWorld(t *testing.T, nodes, shards int, tune func(name string, o *cluster.Options), f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, net: sim.NewNetwork(), nodes: map[string]*machine{}, shards: shards, tune: tune}
		for i := range nodes {
			name := fmt.Sprintf("n%d", i+1)
			w.names = append(w.names, name)
			w.nodes[name] = &machine{name: name, incarnation: "i" + name, fs: vfs.NewCrashableMem()}
		}
		for _, name := range w.names {
			w.start(name)
		}
		f(w)
		for _, name := range w.names {
			w.stop(name)
		}
	})
}

func (w *world) options(m *machine) cluster.Options {
	o := cluster.Options{
		Name:         m.name,
		Listen:       m.name + ":7900",
		Members:      map[string]string{},
		ClusterID:    "c1",
		Shards:       w.shards,
		Dir:          "data",
		FS:           m.fs,
		Network:      w.net.Host(m.name),
		Incarnations: map[string]string{},
		MemoryBytes:  8 << 20,
		Version:      "test",
		Log:          testLog(w.t, m.name),
		Fatal: func(err error) {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.fatal = err
		},
	}
	o.Joining = m.joins
	for _, name := range w.names {
		if other := w.nodes[name]; other == m || !other.joins {
			o.Members[name] = name + ":7900"
		}
		if other := w.nodes[name]; other == m || (!other.joins && !m.joins) {
			o.Incarnations[name] = other.incarnation
		}
	}
	if m.bare {
		o.Incarnations, o.ClusterID = nil, ""
	}
	if w.tune != nil {
		w.tune(m.name, &o)
	}
	return o
}

// start opens and runs the node; it must succeed.
func (w *world) start(name string) {
	w.t.Helper()
	m := w.nodes[name]
	node, err := cluster.Open(w.options(m))
	if err != nil {
		w.t.Fatalf("open %s: %v", name, err)
	}
	m.node, m.regs, m.ended = node, map[cluster.ShardID]*register{}, make(chan struct{})
	regs := m.regs
	node.Host(func(id cluster.ShardID) cluster.Machine {
		m.mu.Lock()
		defer m.mu.Unlock()
		regs[id] = &register{}
		return regs[id]
	})
	if w.depart != nil {
		node.Depart(w.depart)
		w.depart = nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	m.stop = cancel
	go func() {
		defer close(m.ended)
		// A node that is killed before it listens fails to.
		err := node.Run(ctx)
		m.mu.Lock()
		m.ending = err
		m.mu.Unlock()
		if err != nil && !errors.Is(err, syscall.ENETDOWN) && !errors.Is(err, cluster.ErrRemoved) {
			w.t.Errorf("run %s: %v", name, err)
		}
		if err := node.Close(); err != nil {
			w.t.Errorf("close %s: %v", name, err)
		}
	}()
}

// stop ends the node in good order.
func (w *world) stop(name string) {
	if m := w.nodes[name]; m.stop != nil {
		m.stop()
		<-m.ended
		m.stop = nil
	}
}

// kill ends the node as kill -9 and a power loss would: its connections are
// reset, its disk keeps what was synced.
func (w *world) kill(name string) { w.die(name)() }

// die is kill without waiting for the end of what is dead already: nobody
// hears it any more, and its disk is another's. The function it returns does.
func (w *world) die(name string) (bury func()) {
	m := w.nodes[name]
	w.net.Pause(name)
	w.net.Crash(name)
	after := m.fs.CrashClone(vfs.CrashCloneCfg{})
	m.stop()
	m.stop, m.fs = nil, after
	return func() {
		<-m.ended
		w.net.Resume(name)
	}
}

// node is the node of that name.
func (w *world) node(name string) *cluster.Node { return w.nodes[name].node }

// running are the names of the nodes that run.
func (w *world) running() []string {
	return slices.DeleteFunc(slices.Clone(w.names), func(n string) bool { return w.nodes[n].stop == nil })
}

// leader waits for a node that holds the office of the shard and is not one of
// the excepted.
func (w *world) leader(shard cluster.ShardID, except ...string) string {
	w.t.Helper()
	var found string
	w.within(30*time.Second, fmt.Sprintf("shard %d has a leader", shard), func() bool {
		for _, name := range w.running() {
			if _, ok := w.node(name).Term(shard); ok && !slices.Contains(except, name) {
				found = name
				return true
			}
		}
		return false
	})
	return found
}

// within waits until the condition holds.
func (w *world) within(d time.Duration, what string, condition func() bool) {
	w.t.Helper()
	for end := time.Now().Add(d); ; {
		if condition() {
			return
		}
		if time.Now().After(end) {
			w.t.Fatalf("after %s still not: %s\n%s", d, what, w.describe())
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (w *world) describe() string {
	text := ""
	for _, name := range w.running() {
		text += fmt.Sprintf("%s: %+v\n  %+v\n  %s\n", name, w.node(name).Status(), w.node(name).ControlStatus(), w.node(name).Map().Encode())
	}
	return text
}

// put proposes on whoever leads until it succeeds, as a queue would with an
// entry that may be repeated.
func (w *world) put(shard cluster.ShardID, entry string) {
	w.t.Helper()
	w.within(30*time.Second, "put "+entry, func() bool {
		for _, name := range w.running() {
			if w.try(name, shard, entry) == nil {
				return true
			}
		}
		return false
	})
}

// try proposes once on the node.
func (w *world) try(name string, shard cluster.ShardID, entry string) error {
	return tryOn(w.node(name), shard, entry)
}

func tryOn(node *cluster.Node, shard cluster.ShardID, entry string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	term, ok := node.Term(shard)
	if !ok {
		return cluster.ErrNotLeader
	}
	_, err := node.Propose(ctx, shard, term, []byte(entry))
	return err
}

// get reads a key of the node's replica.
func (w *world) get(name string, shard cluster.ShardID, key string) (string, bool) {
	w.t.Helper()
	view, done, err := w.node(name).View(shard)
	if errors.Is(err, cluster.ErrNoSuchShard) {
		return "", false
	}
	if err != nil {
		w.t.Fatal(err)
	}
	defer done()
	v, ok := view.Get([]byte("key/" + key))
	return string(v), ok
}

// equal waits until the replicas on these nodes can be compared, and finds all
// that can be equal.
func (w *world) equal(shard cluster.ShardID, on ...string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	w.within(time.Minute, fmt.Sprintf("digests of shard %d from %v", shard, on), func() bool {
		digests, err := w.node(w.leader(shard)).Digest(ctx, true)
		if err != nil {
			w.t.Fatal(err)
		}
		d := digests[slices.IndexFunc(digests, func(d cluster.ShardDigest) bool { return d.ID == shard })]
		if d.Differs() {
			w.t.Fatalf("shard %d differs: %+v", shard, d.Replicas)
		}
		return !slices.ContainsFunc(d.Replicas, func(r cluster.ReplicaDigest) bool {
			return slices.Contains(on, r.Node) && r.Error != ""
		})
	})
}

// testLog logs to the test, where it is wanted.
func testLog(t testing.TB, name string) *slog.Logger {
	if !testing.Verbose() {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(writer{t}, &slog.HandlerOptions{Level: slog.LevelInfo})).With("on", name)
}

type writer struct{ t testing.TB }

func (w writer) Write(p []byte) (int, error) {
	w.t.Logf("%s %s", time.Now().Format("05.000"), p)
	return len(p), nil
}
