package query

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"quorumta/internal/mail"
	"quorumta/queue/event"
	"quorumta/queue/feed"
	"quorumta/queue/state"
	"quorumta/queue/state/memory"
)

var errNone = errors.New("no such shard here")

// nodes are two nodes and shard 1, which the first one has.
type nodes struct {
	t      *testing.T
	mu     sync.Mutex
	state  *memory.Rows // of mu
	feed   feed.Feed[state.Record]
	leader string
	down   bool // the first node does not answer
	ahead  bool // the third leads, and has what the first does not have yet
	// newcomer: the nodes do not know yet which shards there are
	newcomer bool
	ctx      context.Context
	a, b     *Asker
}

func newNodes(t *testing.T, ctx context.Context) *nodes {
	n := &nodes{t: t, state: &memory.Rows{}, leader: "n1", ctx: ctx}
	n.a = New(Options{
		Node: "n1", Shards: n.shards, Others: func() []string { return []string{"n2"} }, Now: time.Now, Spawn: n.spawn,
		Led:    func(uint16) bool { return n.leader == "n1" },
		Leader: func(uint16) string { return n.leader },
		Call:   n.call,
		View: func(_ uint16, f func(state.Reader)) error {
			n.mu.Lock()
			view := n.state.Clone()
			n.mu.Unlock()
			f(view)
			return nil
		},
		Follow: func(uint16) *feed.Follower[state.Record] { return n.feed.Follow() },
	})
	n.b = New(Options{
		Node: "n2", Shards: n.shards, Others: func() []string { return []string{"n3", "n1"} }, Now: time.Now, Spawn: n.spawn,
		Led:    func(uint16) bool { return false },
		Leader: func(uint16) string { return n.leader },
		Call:   n.call,
		View:   func(uint16, func(state.Reader)) error { return errNone },
		Follow: func(uint16) *feed.Follower[state.Record] { return nil },
	})
	return n
}

func (n *nodes) shards() []uint16 {
	if n.newcomer {
		return nil
	}
	return []uint16{1}
}

func (n *nodes) spawn(f func(context.Context)) bool {
	go f(n.ctx)
	return true
}

// call calls the first node; there is no other one that answers.
func (n *nodes) call(ctx context.Context, node, method string, request []byte) ([]byte, error) {
	if node == "n3" && n.ahead && method == callCount {
		return json.Marshal(counted{Last: time.Now().Add(time.Hour)})
	}
	if node != "n1" || n.down {
		return nil, errors.New("unreachable")
	}
	return n.a.Handlers()[method](ctx, "n2", request)
}

// fold folds a group and publishes it.
func (n *nodes) fold(id mail.MessageID, events ...event.Event) {
	n.t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	g := event.Group{ID: id, At: time.Now().UTC().Truncate(time.Millisecond), Events: events}
	if r := state.Fold(n.state, n.state, 1, 1, event.Entry{Term: 1, Groups: []event.Group{g}})[0]; r != state.Applied {
		n.t.Fatal(r)
	}
	var told []state.Record
	for _, ev := range events {
		if a, ok := ev.(*event.Accepted); ok {
			bare := *a
			bare.Content = nil
			ev = &bare
		}
		told = append(told, state.Record{ID: id, At: g.At, Term: 1, Event: ev})
	}
	n.feed.Publish(told)
}

func (n *nodes) accept(k int) mail.MessageID {
	n.t.Helper()
	id := mail.NewMessageID(time.Now(), 1, [5]byte{byte(k >> 8), byte(k)})
	n.fold(id, &event.Accepted{ID: id, Envelope: mail.Envelope{Recipients: []mail.Recipient{{}}}, Size: 1, Content: []byte("x")})
	return id
}

func inBubble(t *testing.T, f func(t *testing.T, n *nodes)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		n := newNodes(t, ctx)
		f(t, n)
		cancel()
		synctest.Wait()
		for range n.a.readings.open {
			t.Error("a reading is left")
		}
	})
}

// A node without a replica answers what the leader does, and where there is no
// leader what another replica does.
func TestANodeWithoutAReplicaAnswers(t *testing.T) {
	inBubble(t, func(t *testing.T, n *nodes) {
		id := n.accept(1)
		for _, leader := range []string{"n1", ""} {
			n.leader = leader
			stale := leader == ""
			c, err := n.b.Count(t.Context())
			if err != nil || c.Total != 1 || (len(c.Stale) == 1) != stale {
				t.Errorf("count: %+v, %v", c, err)
			}
			page, err := n.b.List(t.Context(), Selection{}, "", 10)
			if err != nil || len(page.Messages) != 1 || (len(page.Stale) == 1) != stale {
				t.Errorf("list: %+v, %v", page, err)
			}
			m, history, err := n.b.Show(t.Context(), id)
			if err != nil || m == nil || len(history) != 1 {
				t.Errorf("show: %+v, %v, %v", m, history, err)
			}
		}
		n.down = true
		if _, err := n.b.Count(t.Context()); !errors.Is(err, errNone) {
			t.Errorf("nobody answers: %v", err)
		}
		if err := n.b.Events(t.Context(), "", false, func(state.Record) bool { return true }); err == nil {
			t.Error("nobody answers, and there is a history")
		}
	})
}

// A history that may lack its newest records says so when all of it was told.
func TestAnIncompleteHistorySaysSo(t *testing.T) {
	inBubble(t, func(t *testing.T, n *nodes) {
		n.accept(1)
		for what, by := range map[string]struct {
			leader string
			ahead  bool
			whole  bool
		}{
			"led here":            {leader: "n1", whole: true},
			"no leader":           {},
			"leader out of reach": {leader: "n3"},
			"behind the leader":   {leader: "n3", ahead: true},
		} {
			n.leader, n.ahead = by.leader, by.ahead
			for name, asker := range map[string]*Asker{"replica": n.a, "elsewhere": n.b} {
				records := 0
				err := asker.Events(t.Context(), "", false, func(state.Record) bool { records++; return true })
				if records != 1 || (err == nil) != by.whole || err != nil && !strings.Contains(err.Error(), "may be missing") {
					t.Errorf("%s, %s: %d records, %v", what, name, records, err)
				}
			}
		}
	})
}

// told collects the records of a message's events, as "id kind".
type told struct {
	mu   sync.Mutex
	list []string
}

func (l *told) add(r state.Record) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, fmt.Sprint(r.ID, " ", r.Event.Kind()))
	return true
}

func (l *told) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.list)
}

// The history that another node reads is what this one would have read.
func TestTheHistoryIsReadElsewhere(t *testing.T) {
	inBubble(t, func(t *testing.T, n *nodes) {
		var ids []mail.MessageID
		for k := range 2*mostRecords + 3 {
			ids = append(ids, n.accept(k))
		}
		n.fold(ids[7], &event.Removed{By: "op"})
		var here, there, one told
		for asker, list := range map[*Asker]*told{n.a: &here, n.b: &there} {
			if err := asker.Events(t.Context(), "", false, list.add); err != nil {
				t.Fatal(err)
			}
		}
		if here.len() != len(ids)+1 || !slices.Equal(here.list, there.list) {
			t.Errorf("%d records here, %d there, of %d", here.len(), there.len(), len(ids)+1)
		}
		if err := n.b.Events(t.Context(), ids[7], false, one.add); err != nil || one.len() != 2 {
			t.Errorf("%v, %v", one.list, err)
		}
		// Who has had enough stops.
		count := 0
		if err := n.b.Events(t.Context(), "", true, func(state.Record) bool { count++; return count < 10 }); err != nil || count != 10 {
			t.Errorf("%d records, %v", count, err)
		}
		time.Sleep(2 * idleTime) // of virtual time: what nobody asks about ends
	})
}

func TestFollowingElsewhere(t *testing.T) {
	inBubble(t, func(t *testing.T, n *nodes) {
		first := n.accept(1)
		var list told
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- n.b.Events(ctx, "", true, list.add) }()
		synctest.Wait()
		n.accept(2)
		time.Sleep(time.Minute) // of virtual time: nothing happens for long
		n.fold(first, &event.Held{By: "op"})
		for k := range mostRecords {
			n.accept(3 + k)
		}
		time.Sleep(time.Second) // of virtual time
		if list.len() != 3+mostRecords {
			t.Errorf("%d records", list.len())
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		// A replica that goes away says so.
		go func() { ended <- n.b.Events(t.Context(), "", true, list.add) }()
		synctest.Wait()
		n.feed.Close()
		if err := <-ended; err == nil || !strings.Contains(err.Error(), "follow again") {
			t.Errorf("err = %v", err)
		}
		time.Sleep(2 * idleTime) // of virtual time
	})
}

func TestReadingsAreBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, n *nodes) {
		n.accept(1)
		for range mostReadings {
			if _, err := n.a.serveRead(t.Context(), reading{Shard: 1, Follow: true}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := n.a.serveRead(t.Context(), reading{Shard: 1}); err == nil {
			t.Error("one too many is read")
		}
		time.Sleep(2 * idleTime) // of virtual time
		if _, err := n.a.serveNext(t.Context(), ticket{1}); !errors.Is(err, errOver) {
			t.Errorf("an idle reading: %v", err)
		}
		if _, err := n.b.serveRead(t.Context(), reading{Shard: 1}); err == nil {
			t.Error("read without a replica")
		}
	})
}

// Many due messages are not counted each time that they are asked for.
func TestManyDueMessagesAreCountedNowAndThen(t *testing.T) {
	inBubble(t, func(t *testing.T, n *nodes) {
		accept := func(k int, wait time.Duration) {
			id := mail.NewMessageID(time.Now(), 1, [5]byte{byte(k >> 8), byte(k)})
			a := &event.Accepted{ID: id, Envelope: mail.Envelope{Recipients: []mail.Recipient{{}}}, Size: 1, Content: []byte("x")}
			g := event.Group{ID: id, At: time.Now().Add(wait), Events: []event.Event{a}}
			state.Fold(n.state, n.state, 1, 1, event.Entry{Term: 1, Groups: []event.Group{g}})
		}
		due := func() uint64 { return n.a.Due(1, n.state, time.Now()) }
		for k := range fewDue {
			accept(k, 0)
		}
		if due() != fewDue {
			t.Errorf("%d are due", due())
		}
		accept(fewDue, 0)
		if due() != fewDue+1 {
			t.Errorf("%d are due", due())
		}
		// What has come since is taken to be due, though this one is not yet.
		accept(fewDue+1, time.Hour)
		if due() != fewDue+2 {
			t.Errorf("%d are due: counted again at once", due())
		}
		time.Sleep(tallyTime) // of virtual time
		if due() != fewDue+1 {
			t.Errorf("%d are due: not counted again", due())
		}
	})
}

// A node that has joined and knows no shard yet does not take the queue for
// empty.
func TestANewcomerDoesNotSayThatTheQueueIsEmpty(t *testing.T) {
	n := newNodes(t, t.Context())
	n.newcomer = true
	if _, err := n.a.Count(t.Context()); !errors.Is(err, ErrNoMap) {
		t.Errorf("count: %v", err)
	}
	err := n.a.Events(t.Context(), "", false, func(state.Record) bool { return true })
	if !errors.Is(err, ErrNoMap) {
		t.Errorf("events: %v", err)
	}
}
