package queue_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"quorumta/cluster"
	"quorumta/internal/mail"
	"quorumta/queue"
	"quorumta/queue/event"
	"quorumta/queue/state"
)

// without is a node that leads no shard, and a shard that it has no replica of
// and knows the leader of.
func (w *world) without() (*member, uint16) {
	w.t.Helper()
	var found *member
	var lacks uint16
	w.within(time.Minute, "a node leads nothing and lacks a shard", func() bool {
		for _, name := range w.running() {
			m := w.nodes[name]
			m.mu.Lock()
			idle := len(m.offices) == 0
			m.mu.Unlock()
			for _, shard := range m.node.Shards() {
				_, done, err := m.node.View(shard)
				if err == nil {
					done()
				} else if idle && errors.Is(err, cluster.ErrNoSuchShard) && m.node.Accepting(shard) == nil {
					found, lacks = m, shard
				}
			}
		}
		return found != nil
	})
	return found, lacks
}

// A node without a replica of a shard uses it and asks it as any other.
func TestANodeUsesShardsThatItDoesNotHave(t *testing.T) {
	inWorldOf(t, []string{"n1", "n2", "n3", "n4", "n5"}, func(t *testing.T, w *world) {
		m, shard := w.without()
		var mu sync.Mutex
		told := map[mail.MessageID][]event.Kind{}
		ctx, cancel := context.WithCancel(t.Context())
		var following sync.WaitGroup
		defer following.Wait()
		defer cancel()
		following.Go(func() {
			if err := m.queue.Events(ctx, "", true, func(r state.Record) bool {
				mu.Lock()
				defer mu.Unlock()
				told[r.ID] = append(told[r.ID], r.Event.Kind())
				return true
			}); err != nil {
				t.Error(err)
			}
		})
		id := w.submit(m, shard)
		if err := m.queue.Operate(t.Context(), queue.ActHold, id, "op", "test"); err != nil {
			t.Fatal(err)
		}
		want := []event.Kind{event.KindAccepted, event.KindHeld}
		if k := w.kinds(m, id); !slices.Equal(k, want) {
			t.Errorf("history %v", k)
		}
		w.within(10*time.Second, "the leaders list it", func() bool { // leads may be evened meanwhile
			page, err := m.queue.List(t.Context(), queue.Selection{State: "held"}, "", 10)
			return err == nil && len(page.Messages) == 1 && len(page.Stale) == 0
		})
		w.within(10*time.Second, "who follows is told", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return slices.Equal(told[id], want)
		})
		var history []event.Kind
		if err := m.queue.Events(t.Context(), id, false, func(r state.Record) bool {
			history = append(history, r.Event.Kind())
			return true
		}); err != nil || !slices.Equal(history, want) {
			t.Errorf("history %v, %v", history, err)
		}
	})
}

// Shards come and go while mail flows: a new one is used, one that retires
// takes no new mail and keeps what it has, and an empty one goes.
func TestShardsComeAndGo(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		m := w.nodes["n1"]
		if err := m.node.SetShards(t.Context(), 5); err != nil {
			t.Fatal(err)
		}
		_, holder := w.office(4)
		w.office(5)
		kept := w.submit(holder, 4)
		if err := m.node.SetShards(t.Context(), 3); err != nil {
			t.Fatal(err)
		}
		w.within(time.Minute, "the empty shard has gone", func() bool { return !slices.Contains(m.node.Shards(), 5) })
		for range 20 {
			if id, err := w.trySubmit(m, 10); err != nil || id.Shard() > 3 {
				t.Errorf("submitted as %s of shard %d, %v", id, id.Shard(), err)
			}
		}
		if !slices.Contains(m.node.Shards(), 4) {
			t.Fatal("a shard with mail has gone")
		}
		o, _ := w.office(4)
		c, err := o.Claim(t.Context(), kept, []uint32{0})
		if err != nil {
			t.Fatal(err)
		}
		if err := m.queue.Resolve(t.Context(), delivered(c)); err != nil {
			t.Fatal(err)
		}
		if k := w.kinds(m, kept); len(k) != 3 {
			t.Errorf("history %v", k)
		}
		if n, err := m.queue.Count(t.Context()); err != nil || n.Total < 20 || len(n.Stale) != 0 {
			t.Errorf("%+v, %v", n, err)
		}
	})
}

// What is restored is let go at whatever node the operator asks.
func TestResumingThroughAnyNode(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		var ids []mail.MessageID
		for shard := range uint16(3) {
			_, holder := w.office(shard + 1)
			ids = append(ids, w.submit(holder, shard+1))
		}
		for shard := range uint16(3) {
			o, _ := w.office(shard + 1)
			suspended := event.Group{Events: []event.Event{&event.Suspended{By: "restore"}}}
			if v := o.Propose(t.Context(), []event.Group{suspended})[0]; !v.Result.OK() {
				t.Fatalf("%+v", v)
			}
		}
		m := w.nodes["n2"]
		n, err := m.queue.Count(t.Context())
		if err != nil || n.Restored != n.Total || len(n.Suspended) != 3 {
			t.Errorf("%+v, %v", n, err)
		}
		for _, id := range ids {
			if err := m.queue.Operate(t.Context(), queue.ActResume, id, "op", ""); err != nil {
				t.Fatal(err)
			}
		}
		if n, err = m.queue.Count(t.Context()); err != nil || n.Restored != n.Total-3 {
			t.Errorf("%+v, %v", n, err)
		}
		if err := m.queue.Resume(t.Context(), "op"); err != nil {
			t.Fatal(err)
		}
		if n, err = m.queue.Count(t.Context()); err != nil || n.Restored != 0 || len(n.Suspended) != 0 || n.Due != n.Total {
			t.Errorf("%+v, %v", n, err)
		}
		foreign := mail.NewMessageID(time.Now(), 9, [5]byte{})
		if err := m.queue.Operate(t.Context(), queue.ActHold, foreign, "op", ""); !errors.Is(err, queue.ErrNotFound) {
			t.Errorf("a message of no shard: %v", err)
		}
		if _, _, err := m.queue.Show(t.Context(), foreign); !errors.Is(err, queue.ErrNotFound) {
			t.Errorf("a message of no shard: %v", err)
		}
	})
}
