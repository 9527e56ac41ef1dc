package queue

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"reflect"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"quorumta/cluster"
	"quorumta/internal/mail"
	"quorumta/queue/event"
	"quorumta/queue/state"
)

// house is a queue on a running node.
type house struct {
	*Queue
	faults  *faults
	t       *testing.T
	offices chan *Office
}

// open makes a queue on a node of one member with the given number of shards.
func open(t *testing.T, shards int, o Options) *house {
	t.Helper()
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	node, err := cluster.Open(cluster.Options{Name: "n1", Shards: shards, Dir: "data", FS: vfs.NewMem(), Log: o.Log})
	if err != nil {
		t.Fatal(err)
	}
	o.SpoolDir = t.TempDir()
	w := &faults{way: node}
	h := &house{Queue: newQueue(node, w, o), faults: w, t: t, offices: make(chan *Office, 16)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 3)
	go func() { done <- node.Run(ctx) }()
	go func() { done <- h.Run(ctx) }()
	go func() {
		done <- h.Offices(ctx, func(ctx context.Context, o *Office) {
			h.offices <- o
			<-ctx.Done()
		})
	}()
	t.Cleanup(func() {
		cancel()
		for range 3 {
			if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}
		if err := node.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// office waits for an office.
func (h *house) office() *Office {
	h.t.Helper()
	select {
	case o := <-h.offices:
		return o
	case <-time.After(10 * time.Second):
		h.t.Fatal("no office")
		return nil
	}
}

func address(s string) mail.Address {
	a, err := mail.ParseAddress(s)
	if err != nil {
		panic(err)
	}
	return a
}

func submission(to ...string) Submission {
	s := Submission{Envelope: mail.Envelope{From: address("from@a.example")}, Client: event.Client{IP: "192.0.2.1"}}
	for _, r := range to {
		s.Envelope.Recipients = append(s.Envelope.Recipients, mail.Recipient{Address: address(r)})
	}
	return s
}

func received(id mail.MessageID) []byte { return []byte("Received: id " + string(id) + "\r\n") }

// submit submits a message and returns its id.
func (h *house) submit(body []byte, to ...string) mail.MessageID {
	h.t.Helper()
	u, err := h.Begin(h.t.Context(), received)
	if err != nil {
		h.t.Fatal(err)
	}
	for chunk := range bytes.SplitAfterSeq(body, []byte("\n")) {
		if _, err := u.Write(chunk); err != nil {
			h.t.Fatal(err)
		}
	}
	id, err := u.Commit(submission(to...))
	if err != nil {
		h.t.Fatal(err)
	}
	return id
}

// waitDue waits for due rows.
func waitDue(t *testing.T, o *Office, n int) []state.DueRow {
	t.Helper()
	late := time.After(10 * time.Second)
	for {
		changed := o.Changed()
		rows := o.Due(state.DueRow{}, time.Now().Add(time.Second), 1000)
		if len(rows) >= n {
			return rows
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("%d rows due, want %d", len(rows), n)
		}
	}
}

func TestTheLifeOfAMessage(t *testing.T) {
	h := open(t, 1, Options{})
	o := h.office()
	id := h.submit([]byte("Subject: x\r\n\r\nhello\r\n"), "a@b.example", "c@d.example")
	rows := waitDue(t, o, 1)
	if rows[0].ID != id {
		t.Fatalf("due: %v, want %s", rows, id)
	}
	c, err := o.Claim(t.Context(), id, []uint32{0, 1})
	if err != nil {
		t.Fatal(err)
	}
	if rows := o.Due(state.DueRow{}, time.Now().Add(time.Hour), 10); len(rows) != 0 {
		t.Errorf("claimed and yet due: %v", rows)
	}
	if _, err := o.Claim(t.Context(), id, []uint32{0}); !errors.Is(err, ErrStale) {
		t.Errorf("a second claim: %v, want ErrStale", err)
	}
	content, size, err := o.Content(id)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(content)
	if want := string(received(id)) + "Subject: x\r\n\r\nhello\r\n"; err != nil || string(b) != want || size != int64(len(want)) {
		t.Errorf("content %q (%d), %v", b, size, err)
	}
	if err := o.MaySend(c); err != nil {
		t.Fatal(err)
	}
	err = h.Resolve(t.Context(), Outcome{ID: id, Events: []event.Event{
		&event.Delivered{Recipients: []uint32{0}, Attempt: event.Attempt{Number: c.Number}},
		&event.Deferred{Recipients: []uint32{1}, Attempt: event.Attempt{Number: c.Number}, Error: event.ErrorRecipient, Due: time.Now().Add(time.Minute)},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if n := h.attempts.Len(); n != 0 {
		t.Errorf("%d attempts are left in the table", n)
	}
	totals, err := h.Count(t.Context())
	if want := (Totals{Total: 1, Deferred: 1}); err != nil || !reflect.DeepEqual(totals, want) {
		t.Errorf("totals %+v, %v; want %+v", totals, err, want)
	}
	if err := h.Operate(t.Context(), ActRetry, id, "op", ""); err != nil {
		t.Fatal(err)
	}
	waitDue(t, o, 1)
	if c, err = o.Claim(t.Context(), id, []uint32{1}); err != nil {
		t.Fatal(err)
	}
	err = h.Resolve(t.Context(), Outcome{ID: id, Events: []event.Event{
		&event.Failed{Recipients: []uint32{1}, Attempt: event.Attempt{Number: c.Number}, Error: event.ErrorRecipient}},
		Report: &event.Accepted{Envelope: submission("from@a.example").Envelope, Content: []byte("sorry\r\n")},
	})
	if err != nil {
		t.Fatal(err)
	}
	report := waitDue(t, o, 1)[0].ID
	if m, ok := o.Message(report); !ok || m.Accepted.Cause != id || m.Accepted.Size != 7 {
		t.Errorf("the report: %+v", m)
	}
	m, history, err := h.Show(t.Context(), id)
	if err != nil || m != nil || len(history) != 7 {
		t.Errorf("an ended message: %v, %d records, %v", m, len(history), err)
	}
}

func TestALargeMessageIsStreamed(t *testing.T) {
	h := open(t, 1, Options{})
	o := h.office()
	body := bytes.Repeat([]byte("0123456789abcdef\r\n"), 60000)
	id := h.submit(body, "a@b.example")
	m, _ := o.Message(id)
	if m.Accepted.Parts < 4 {
		t.Fatalf("%d parts", m.Accepted.Parts)
	}
	content, size, err := o.Content(id)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(content)
	if err != nil || int64(len(b)) != size || !bytes.HasSuffix(b, body) {
		t.Errorf("read %d of %d bytes, %v", len(b), size, err)
	}
}
