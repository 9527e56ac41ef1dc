package admin

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"quorumta/cluster"
	"quorumta/internal/admin/api"
	"quorumta/internal/mail"
	"quorumta/internal/sim"
	"quorumta/queue"
	"quorumta/queue/event"
)

// house is a cluster of one node, in memory, with its API on a socket.
type house struct {
	queue   *queue.Queue
	node    *cluster.Node
	socket  string
	client  *api.Client
	drained chan struct{}
}

func open(t *testing.T) *house {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	node, err := cluster.Open(cluster.Options{
		Name: "n1", Listen: "n1:7900", Members: map[string]string{"n1": "n1:7900"},
		ClusterID: "c1", Incarnations: map[string]string{"n1": "i1"}, Shards: 2,
		Dir: "data", FS: vfs.NewMem(), Network: sim.NewNetwork().Host("n1"), MemoryBytes: 8 << 20,
		Log: log, Fatal: func(err error) { t.Error(err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	h := &house{node: node, drained: make(chan struct{}, 1), socket: filepath.Join(t.TempDir(), "admin.sock")}
	h.queue = queue.New(node, queue.Options{Log: log, History: time.Hour})
	s := NewServer(node, h.queue, func() { h.drained <- struct{}{} })
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 3)
	go func() { ended <- node.Run(ctx) }()
	go func() { ended <- h.queue.Run(ctx) }()
	go func() { ended <- s.Serve(ctx, Options{Socket: h.socket, Log: log}) }()
	h.client = api.DialSocket(h.socket)
	t.Cleanup(func() {
		h.client.Close()
		cancel()
		for range 3 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		if err := node.Close(); err != nil {
			t.Error(err)
		}
	})
	wait(t, func() bool {
		for _, shard := range node.Shards() {
			if _, ok := node.Term(shard); !ok {
				return false
			}
		}
		return true
	})
	wait(t, func() bool { _, err := os.Stat(h.socket); return err == nil })
	return h
}

// wait asks until it is told yes.
func wait(t *testing.T, yes func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !yes() {
		if time.Now().After(deadline) {
			t.Fatal("waited for 20 s in vain")
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// submit queues a message for two recipients.
func (h *house) submit(t *testing.T, domain string) mail.MessageID {
	t.Helper()
	u, err := h.queue.Begin(t.Context(), func(mail.MessageID) []byte { return []byte("Received: here\r\n") })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.Write([]byte("Subject: x\r\n\r\nhello\r\n")); err != nil {
		t.Fatal(err)
	}
	id, err := u.Commit(queue.Submission{
		Envelope: mail.Envelope{
			From:       mail.Address{Local: "a", Domain: "from.example"},
			Recipients: []mail.Recipient{{Address: mail.Address{Local: "r1", Domain: domain}}, {Address: mail.Address{Local: "r2", Domain: domain}}},
		},
		Client: event.Client{IP: "192.0.2.1"}, HeaderID: "<run-1@bench.example>", Subject: "x",
	})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestStatusAndDigest(t *testing.T) {
	h := open(t)
	h.submit(t, "to.example")
	s, err := h.client.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Nodes) != 1 || s.Nodes[0].Name != "n1" || !s.Nodes[0].Alive || len(s.Shards) != 2 {
		t.Fatalf("%+v", s)
	}
	if s.Shards[0].Leader != "n1" || len(s.Shards[0].Replicas) != 1 || s.Shards[0].Queued+s.Shards[1].Queued != 1 {
		t.Fatalf("%+v", s.Shards)
	}
	d, err := h.client.Digest(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	if !d.Equal() || len(d.Shards) != 2 || len(d.Shards[0].Replicas[0].SHA256) != 2*sha256.Size {
		t.Fatalf("%+v", d)
	}
}

func TestQueue(t *testing.T) {
	h := open(t)
	ctx := t.Context()
	one := h.submit(t, "one.example")
	wait(t, func() bool { return time.Now().After(one.Time().Add(2 * time.Millisecond)) }) // ids sort by time
	two := h.submit(t, "two.example")
	totals, err := h.client.Count(ctx)
	if err != nil || totals.Total != 2 {
		t.Fatalf("%+v, %v", totals, err)
	}
	page, err := h.client.List(ctx, api.ListRequest{Limit: 1})
	if err != nil || len(page.Messages) != 1 || page.Messages[0].ID != one || page.Cursor == "" {
		t.Fatalf("first page %+v, %v", page, err)
	}
	page, err = h.client.List(ctx, api.ListRequest{Cursor: page.Cursor})
	if err != nil || len(page.Messages) != 1 || page.Messages[0].ID != two || page.Cursor != "" {
		t.Fatalf("second page %+v, %v", page, err)
	}
	m := page.Messages[0]
	if m.State != "due" || m.From != "a@from.example" || m.Client != "192.0.2.1" || len(m.Recipients) != 2 ||
		m.Recipients[1].Address != "r2@two.example" || m.Recipients[1].State != "pending" {
		t.Fatalf("%+v", m)
	}
	n, err := h.client.Act(ctx, api.ActRequest{Act: api.ActHold, Selection: api.Selection{Domain: "two.example"}, By: "somebody", Why: "a test"})
	if err != nil || n != 1 {
		t.Fatalf("held %d, %v", n, err)
	}
	show, err := h.client.Show(ctx, api.ShowRequest{ID: two})
	if err != nil || show.Message == nil || show.Message.State != "held" || len(show.History) != 2 {
		t.Fatalf("%+v, %v", show, err)
	}
	// The socket tells who it really was.
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	if held := show.History[1]; held.Event != "held" || held.Why != "a test" || held.By != "somebody ("+me.Username+")" {
		t.Fatalf("%+v", held)
	}
	if n, err := h.client.Act(ctx, api.ActRequest{Act: api.ActRemove, ID: one, By: me.Username}); err != nil || n != 1 {
		t.Fatalf("removed %d, %v", n, err)
	}
	show, err = h.client.Show(ctx, api.ShowRequest{ID: one})
	if err != nil || show.Message != nil || show.History[1].By != me.Username {
		t.Fatalf("an ended message is shown as %+v, %v", show, err)
	}
}

func TestRefusals(t *testing.T) {
	h := open(t)
	ctx := t.Context()
	unknown := mail.NewMessageID(time.Now(), 1, [5]byte{1})
	_, err := h.client.Show(ctx, api.ShowRequest{ID: unknown})
	if err == nil || errors.Is(err, api.ErrNoMajority) || !strings.Contains(err.Error(), "no such message") {
		t.Errorf("an unknown message: %v", err)
	}
	if _, err := h.client.Show(ctx, api.ShowRequest{ID: "x"}); err == nil {
		t.Error("a bad id is taken")
	}
	if _, err := h.client.Act(ctx, api.ActRequest{Act: api.ActRemove, By: "me"}); err == nil {
		t.Error("a selection that was forgotten selects everything")
	}
	if _, err := h.client.Act(ctx, api.ActRequest{Act: "explode", ID: unknown, By: "me"}); err == nil {
		t.Error("an act that is none is taken")
	}
	if err := h.client.Drain(ctx, "n9"); err == nil || errors.Is(err, api.ErrNoMajority) {
		t.Errorf("draining a stranger: %v", err)
	}
	if _, err := api.DialSocket(h.socket + "x").Count(ctx); err == nil || errors.Is(err, api.ErrNoMajority) {
		t.Errorf("a socket that is not there: %v", err)
	}
}

// A mistyped key must not widen what an act is done to.
func TestUnknownKeysAreRefused(t *testing.T) {
	h := open(t)
	h.submit(t, "to.example")
	local := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", h.socket)
	}}}
	defer local.CloseIdleConnections()
	for body, status := range map[string]int{
		`{"act":"remove","domian":"to.example","by":"me"}`: http.StatusBadRequest,
		`{"act":"hold","domain":"to.example","by":"me"}`:   http.StatusOK,
	} {
		for _, kind := range []string{"application/json", "application/json; charset=utf-8"} {
			res, err := local.Post("http://node/v1/QueueAct", kind, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != status {
				t.Errorf("%s as %s: %s", body, kind, res.Status)
			}
		}
	}
}

func TestDrainIsPassedOn(t *testing.T) {
	h := open(t)
	if err := h.client.Drain(t.Context(), "n1"); err != nil {
		t.Fatal(err)
	}
	<-h.drained
}

func TestSocketIsForTheGroup(t *testing.T) {
	h := open(t)
	info, err := os.Stat(h.socket)
	if err != nil || info.Mode().Perm() != 0o660 {
		t.Fatal(info.Mode(), err)
	}
	if _, err := listenSocket(h.socket); err == nil {
		t.Fatal("a socket in use is taken away from its node")
	}
}

// deliver claims a message and records outcomes of its two recipients.
func (h *house) deliver(t *testing.T, id mail.MessageID) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	claimed := make(chan error, 1)
	err := h.queue.Offices(ctx, func(ctx context.Context, o *queue.Office) {
		if o.Shard() != id.Shard() {
			<-ctx.Done()
			return
		}
		c, err := o.Claim(ctx, id, []uint32{0, 1})
		if err == nil {
			err = h.queue.Resolve(ctx, queue.Outcome{ID: id, Events: []event.Event{
				&event.Delivered{Recipients: []uint32{0}, Attempt: event.Attempt{Number: c.Number, Node: "n1", Host: "mx.example",
					Reply: mail.Reply{Code: 250, Enhanced: "2.0.0", Text: "Ok"}, Took: 5 * time.Millisecond}},
				&event.Deferred{Recipients: []uint32{1}, Attempt: event.Attempt{Number: c.Number, Node: "n1"}, Error: event.ErrorRecipient,
					Due: time.Now().Add(time.Hour)},
			}})
		}
		claimed <- err
		cancel()
	})
	if err := errors.Join(err, <-claimed); err != nil {
		t.Fatal(err)
	}
}

// The history has a line for each recipient, before and while it is followed.
func TestEvents(t *testing.T) {
	h := open(t)
	ctx := t.Context()
	first := h.submit(t, "to.example")
	h.deliver(t, first)
	var lines []string
	tell := func(e *api.Event) error {
		line := fmt.Sprintf("%s %s %s", e.Event, e.Recipient, e.Node)
		if e.Attempted != nil {
			line += " " + e.Reply + e.Error
		}
		if e.Born != nil {
			line += " " + e.HeaderID
		}
		lines = append(lines, line)
		return nil
	}
	if err := h.client.Events(ctx, api.EventsRequest{}, tell); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"accepted  n1 <run-1@bench.example>",
		"claimed r1@to.example n1", "claimed r2@to.example n1",
		"delivered r1@to.example n1 250 2.0.0 Ok",
		"deferred r2@to.example n1 recipient",
	}
	if fmt.Sprintf("%q", lines) != fmt.Sprintf("%q", want) {
		t.Fatalf("told %q, want %q", lines, want)
	}
	enough := errors.New("enough")
	acted := false
	err := h.client.Events(ctx, api.EventsRequest{Follow: true}, func(e *api.Event) error {
		if e.Event == "deferred" && !acted {
			acted = true
			if _, err := h.client.Act(ctx, api.ActRequest{Act: api.ActHold, ID: first, By: "me"}); err != nil {
				return err
			}
		}
		if e.Event == "held" {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		t.Fatalf("following: %v", err)
	}
}
