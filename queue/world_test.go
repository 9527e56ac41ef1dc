package queue_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"quorumta/cluster"
	"quorumta/internal/mail"
	"quorumta/internal/sim"
	"quorumta/queue"
	"quorumta/queue/event"
	"quorumta/queue/state"
)

// world is a cluster with its queues, in a bubble of virtual time.
type world struct {
	t      *testing.T
	net    *sim.Network
	names  []string
	shards int
	nodes  map[string]*member
}

// member is a node with its queue.
type member struct {
	name  string
	node  *cluster.Node
	queue *queue.Queue
	stop  context.CancelFunc
	ended sync.WaitGroup

	mu      sync.Mutex
	offices map[uint16]*queue.Office
}

// inWorld runs f with three nodes and as many shards.
func inWorld(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	inWorldOf(t, []string{"n1", "n2", "n3"}, f)
}

// inWorldOf runs f with these nodes and three shards of three replicas.
func inWorldOf(t *testing.T, names []string, f func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, net: sim.NewNetwork(), names: names, shards: 3, nodes: map[string]*member{}}
		defer w.end()
		for _, name := range w.names {
			w.start(name)
		}
		for shard := range uint16(w.shards) {
			w.office(shard + 1)
		}
		f(t, w)
	})
}

// end stops what runs, and waits for all that ran.
func (w *world) end() {
	for _, name := range w.running() {
		w.nodes[name].stop()
	}
	for _, m := range w.nodes {
		m.ended.Wait()
		if err := m.node.Close(); err != nil {
			w.t.Error(err)
		}
	}
}

func (w *world) start(name string) {
	o := cluster.Options{
		Name: name, Listen: name + ":7900", Members: map[string]string{}, Incarnations: map[string]string{},
		ClusterID: "c1", Shards: w.shards, Dir: "data", FS: vfs.NewCrashableMem(), Network: w.net.Host(name),
		MemoryBytes: 8 << 20, Log: slog.New(slog.DiscardHandler), Fatal: func(error) {},
	}
	for _, n := range w.names {
		o.Members[n], o.Incarnations[n] = n+":7900", "i"+n
	}
	node, err := cluster.Open(o)
	if err != nil {
		w.t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(w.t.Output(), nil)).With("on", name)
	m := &member{name: name, node: node, offices: map[uint16]*queue.Office{}}
	m.queue = queue.New(node, queue.Options{Log: log, SpoolDir: w.t.TempDir()})
	ctx, cancel := context.WithCancel(context.Background())
	m.stop = cancel
	m.ended.Go(func() {
		if err := node.Run(ctx); err != nil && ctx.Err() == nil {
			w.t.Error(err)
		}
	})
	m.ended.Go(func() { _ = m.queue.Run(ctx) })
	m.ended.Go(func() { _ = m.queue.Offices(ctx, m.take) })
	w.nodes[name] = m
}

// take holds an office until it ends.
func (m *member) take(ctx context.Context, o *queue.Office) {
	m.mu.Lock()
	m.offices[o.Shard()] = o
	m.mu.Unlock()
	<-ctx.Done()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.offices[o.Shard()] == o {
		delete(m.offices, o.Shard())
	}
}

// kill ends a node as a power loss does.
func (w *world) kill(name string) {
	w.net.Pause(name)
	w.net.Crash(name)
	m := w.nodes[name]
	m.stop()
	m.stop = nil
}

func (w *world) running() []string {
	return slices.DeleteFunc(slices.Clone(w.names), func(n string) bool { return w.nodes[n] == nil || w.nodes[n].stop == nil })
}

// office waits for an office of the shard, on a node that is not excepted.
func (w *world) office(shard uint16, except ...string) (*queue.Office, *member) {
	w.t.Helper()
	var office *queue.Office
	var holder *member
	w.within(30*time.Second, fmt.Sprintf("shard %d has a leader", shard), func() bool {
		for _, name := range w.running() {
			m := w.nodes[name]
			m.mu.Lock()
			o := m.offices[shard]
			m.mu.Unlock()
			if _, ok := m.node.Term(shard); ok && o != nil && !slices.Contains(except, name) {
				office, holder = o, m
				return true
			}
		}
		return false
	})
	return office, holder
}

// transfer hands a lead over, as soon as the other is fit.
func (w *world) transfer(from *member, shard uint16, to string) {
	w.t.Helper()
	w.within(10*time.Second, "the lead is handed over", func() bool {
		return from.node.Transfer(w.t.Context(), shard, to) == nil
	})
	w.office(shard, from.name)
}

// within waits until the condition holds, in virtual time.
func (w *world) within(d time.Duration, what string, condition func() bool) time.Duration {
	w.t.Helper()
	began := time.Now()
	for !condition() {
		if time.Since(began) > d {
			w.t.Fatalf("after %s still not: %s", d, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(began)
}

// submit submits through the node until the message lands on the shard.
func (w *world) submit(m *member, shard uint16) mail.MessageID {
	w.t.Helper()
	for range 100 {
		id, err := w.trySubmit(m, 10)
		if err != nil {
			w.t.Fatal(err)
		}
		if id.Shard() == shard {
			return id
		}
	}
	w.t.Fatalf("%s never uses shard %d", m.name, shard)
	return ""
}

func (w *world) trySubmit(m *member, size int) (mail.MessageID, error) {
	u, err := m.queue.Begin(w.t.Context(), func(id mail.MessageID) []byte { return []byte(id) })
	if err != nil {
		return "", err
	}
	if _, err := u.Write(make([]byte, size)); err != nil {
		u.Abort()
		return "", err
	}
	return u.Commit(queue.Submission{Envelope: mail.Envelope{
		From:       mail.Address{Local: "from", Domain: "a.example"},
		Recipients: []mail.Recipient{{Address: mail.Address{Local: "to", Domain: "b.example"}}},
	}})
}

// kinds is the history of a message, asked at a node.
func (w *world) kinds(m *member, id mail.MessageID) []event.Kind {
	_, records, err := m.queue.Show(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	var kinds []event.Kind
	for _, r := range records {
		kinds = append(kinds, r.Event.Kind())
	}
	return kinds
}

func delivered(c queue.Claim) queue.Outcome {
	return queue.Outcome{ID: c.ID, Events: []event.Event{
		&event.Delivered{Recipients: c.Recipients, Attempt: event.Attempt{Number: c.Number}}}}
}

// A node that leads nothing submits through the others, small and large.
func TestSubmittingThroughANodeThatLeadsNothing(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		m := w.nodes["n3"]
		for shard := range uint16(3) {
			o, holder := w.office(shard + 1)
			if holder == m {
				w.transfer(m, o.Shard(), "n1")
			}
		}
		for _, size := range []int{10, 1 << 20} {
			id, err := w.trySubmit(m, size)
			if err != nil {
				t.Fatal(err)
			}
			o, _ := w.office(id.Shard())
			r, n, err := o.Content(id)
			if err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(r); err != nil || int64(len(b)) != n || len(b) != size+len(id) {
				t.Errorf("%d bytes, %v", len(b), err)
			}
			if err := m.queue.Operate(t.Context(), queue.ActHold, id, "op", "test"); err != nil {
				t.Error(err)
			}
			if k := w.kinds(m, id); !slices.Equal(k, []event.Kind{event.KindAccepted, event.KindHeld}) {
				t.Errorf("history %v", k)
			}
		}
		if n, err := m.queue.Count(t.Context()); err != nil || n.Total != 2 || n.Held != 2 {
			t.Errorf("%+v, %v", n, err)
		}
		page, err := m.queue.List(t.Context(), queue.Selection{State: "held"}, "", 10)
		if err != nil || len(page.Messages) != 2 || len(page.Stale) != 0 {
			t.Errorf("%+v, %v", page, err)
		}
	})
}

// The mail of a node that died moves on: what it had not claimed at once, what
// it had claimed after a second of silence, in doubt and on record.
func TestTheMailOfADeadNodeMovesOn(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		o, dead := w.office(2)
		claimed, free := w.submit(dead, 2), w.submit(dead, 2)
		c, err := o.Claim(t.Context(), claimed, []uint32{0})
		if err != nil {
			t.Fatal(err)
		}
		if err := o.MaySend(c); err != nil {
			t.Fatal(err)
		}
		w.kill(dead.name)
		began := time.Now()
		heir, m := w.office(2, dead.name)
		w.within(time.Second, "the free message is claimed", func() bool {
			heir, m = w.office(2, dead.name)
			_, err := heir.Claim(t.Context(), free, []uint32{0})
			return err == nil
		})
		t.Logf("what was not claimed moved after %v", time.Since(began))
		w.within(5*time.Second, "the doubt is on record", func() bool {
			return slices.Contains(w.kinds(m, claimed), event.KindDoubted)
		})
		t.Logf("what was in doubt moved after %v", time.Since(began))
		w.within(time.Second, "what was in doubt is claimed", func() bool {
			heir, _ = w.office(2, dead.name) // leads may be evened meanwhile
			c, err = heir.Claim(t.Context(), claimed, []uint32{0})
			return err == nil
		})
		if c.Number != 2 {
			t.Errorf("claim %+v", c)
		}
	})
}

// A lead that is handed over makes no doubt: what was not sent comes back, and
// what was sent is waited for.
func TestALeadThatIsHandedOverLeavesNoDoubt(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		o, old := w.office(1)
		unsent, sent := w.submit(old, 1), w.submit(old, 1)
		first, err := o.Claim(t.Context(), unsent, []uint32{0})
		if err != nil {
			t.Fatal(err)
		}
		second, err := o.Claim(t.Context(), sent, []uint32{0})
		if err != nil {
			t.Fatal(err)
		}
		if err := o.MaySend(second); err != nil {
			t.Fatal(err)
		}
		to := "n1"
		if old.name == to {
			to = "n2"
		}
		w.transfer(old, 1, to)
		heir, m := w.office(1, old.name)
		w.within(3*time.Second, "the unsent one is returned", func() bool {
			return slices.Contains(w.kinds(m, unsent), event.KindReturned)
		})
		if err := o.MaySend(first); err == nil {
			t.Error("the deposed leader may send")
		}
		time.Sleep(5 * time.Second) // of virtual time: the new leader asks again and again
		if k := w.kinds(m, sent); !slices.Equal(k, []event.Kind{event.KindAccepted, event.KindClaimed}) {
			t.Errorf("history %v", k)
		}
		if err := old.queue.Resolve(t.Context(), delivered(second)); err != nil {
			t.Fatal(err)
		}
		w.within(time.Second, "what the deposed leader learnt is on record", func() bool {
			_, open := heir.Message(sent)
			return !open
		})
	})
}

// A leader that is cut off sends no dot once another may lead, and reports
// what it learnt when it is back.
func TestACutOffLeaderSendsNoDot(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		o, old := w.office(3)
		early, late := w.submit(old, 3), w.submit(old, 3)
		sent, err := o.Claim(t.Context(), early, []uint32{0})
		if err != nil {
			t.Fatal(err)
		}
		held, err := o.Claim(t.Context(), late, []uint32{0})
		if err != nil {
			t.Fatal(err)
		}
		if err := o.MaySend(sent); err != nil {
			t.Fatal(err)
		}
		for _, name := range w.names {
			if name != old.name {
				w.net.Cut(old.name, name)
			}
		}
		heir, m := w.office(3, old.name)
		if err := o.MaySend(held); !errors.Is(err, queue.ErrNotInOffice) {
			t.Errorf("err = %v, want ErrNotInOffice", err)
		}
		w.within(5*time.Second, "both are in doubt", func() bool {
			return slices.Contains(w.kinds(m, early), event.KindDoubted) && slices.Contains(w.kinds(m, late), event.KindDoubted)
		})
		resolved := make(chan error, 1)
		go func() { resolved <- old.queue.Resolve(t.Context(), delivered(sent)) }()
		w.net.Heal()
		if err := <-resolved; err != nil {
			t.Fatal(err)
		}
		w.within(time.Second, "a delivery that a deposed leader learnt of closes the message", func() bool {
			_, open := heir.Message(early)
			return !open
		})
	})
}

// DESIGN 2.4: without a majority there is no 250, and the refusal is quick;
// what is asked is answered from the replica, marked as stale.
func TestWithoutAMajorityNothingIsTaken(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		if _, err := w.trySubmit(w.nodes["n1"], 10); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second) // of virtual time: all replicas have it
		w.kill("n2")
		w.kill("n3")
		time.Sleep(2 * time.Second) // of virtual time
		began := time.Now()
		m := w.nodes["n1"]
		if _, err := w.trySubmit(m, 10); !errors.Is(err, queue.ErrUnavailable) {
			t.Errorf("err = %v", err)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("it took %v", took)
		}
		page, err := m.queue.List(t.Context(), queue.Selection{}, "", 10)
		if err != nil || len(page.Messages) != 1 || len(page.Stale) != 3 {
			t.Errorf("%d messages, stale %v, %v", len(page.Messages), page.Stale, err)
		}
	})
}

// Every node follows what any of them does.
func TestFollowersOnEveryNodeSeeTheSame(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		const count = 20
		seen := map[string]map[mail.MessageID]int{}
		var mu sync.Mutex
		var following sync.WaitGroup
		ctx, cancel := context.WithCancel(t.Context())
		for _, name := range w.names {
			seen[name] = map[mail.MessageID]int{}
			following.Go(func() {
				_ = w.nodes[name].queue.Events(ctx, "", true, func(r state.Record) bool {
					mu.Lock()
					defer mu.Unlock()
					seen[name][r.ID]++
					return true
				})
			})
		}
		for i := range count {
			if _, err := w.trySubmit(w.nodes[w.names[i%3]], 10); err != nil {
				t.Fatal(err)
			}
		}
		w.within(10*time.Second, "all have seen all", func() bool {
			mu.Lock()
			defer mu.Unlock()
			for _, ids := range seen {
				if len(ids) != count {
					return false
				}
			}
			return true
		})
		cancel()
		following.Wait()
		for name, ids := range seen {
			for id, n := range ids {
				if n != 1 {
					t.Errorf("%s saw %s %d times", name, id, n)
				}
			}
		}
	})
}
