package verdict_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"quorumta/bench/load"
	"quorumta/bench/sink"
	"quorumta/bench/verdict"
)

// run sends 200 messages straight into a sink and judges.
func run(t *testing.T, mode sink.Mode) verdict.Verdict {
	t.Helper()
	s, err := sink.Listen(sink.Options{Listen: "127.0.0.1:0", Mode: mode})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	var records bytes.Buffer
	e := json.NewEncoder(&records)
	l, err := load.New(load.Options{Targets: []string{s.Address()}, Sessions: 4, Count: 200, Recipients: 2,
		Size: 2000, Domains: []string{"a.example", "b.example"},
		Record: func(r load.Record) { e.Encode(r) }})
	if err != nil {
		t.Fatal(err)
	}
	l.Run(t.Context())
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	var seen bytes.Buffer
	if _, err := s.WriteTo(&seen); err != nil {
		t.Fatal(err)
	}
	j := verdict.NewJudge(verdict.Doubts{})
	if err := j.ReadLoad(&records); err != nil {
		t.Fatal(err)
	}
	if err := j.ReadSink(&seen); err != nil {
		t.Fatal(err)
	}
	return j.Verdict()
}

func TestNothingLost(t *testing.T) {
	v := run(t, sink.Mode{})
	if !v.OK() || v.Delivered != 400 || v.Acknowledged != 400 || v.Messages[load.Acknowledged] != 200 {
		t.Fatalf("a faultless sink is judged %+v", v)
	}
}

// A sink that drops a message must make the verdict fail: otherwise the
// verdict proves nothing.
func TestDroppedMessageFails(t *testing.T) {
	v := run(t, sink.Mode{DropEvery: 150})
	if v.OK() || v.Lost != 2 {
		t.Fatalf("one dropped message of two recipients is judged %+v", v)
	}
	var table strings.Builder
	if err := v.Print(&table); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(table.String(), "verdict: FAIL") || !strings.Contains(table.String(), "lost: ") {
		t.Fatalf("the table does not say so:\n%s", &table)
	}
}

func TestDeferredArrivingIsUnexpected(t *testing.T) {
	v := run(t, sink.Mode{Action: sink.Defer})
	if !v.OK() || v.Messages[load.Transient] != 200 {
		t.Fatalf("deferred and not seen is judged %+v", v)
	}
	j := verdict.NewJudge(verdict.Doubts{})
	j.Seen(sink.Seen{ID: "x-1", Recipient: "a@b", Copies: 1})
	j.Seen(sink.Seen{ID: "x-2", Recipient: "a@b", Copies: 1})
	j.Seen(sink.Seen{ID: "y-2", Recipient: "a@b", Copies: 1})
	j.Record(load.Record{ID: "x-1", Class: load.Transient, To: []string{"a@b"}})
	if v := j.Verdict(); v.Unexpected != 2 || v.OtherRuns != 1 || v.OK() {
		t.Fatalf("a refused message and one without record, arrived, are judged %+v", v)
	}
}

func TestUnknownRecovered(t *testing.T) {
	v := run(t, sink.Mode{Action: sink.Close, Count: true, Percent: 50})
	if !v.OK() || v.Recovered == 0 || v.Recovered != 2*v.Messages[load.Unknown] {
		t.Fatalf("taken without an answer is judged %+v", v)
	}
}

func TestSecondCopies(t *testing.T) {
	events := `{"event":"accepted","id":"q2","header_id":"<x-2@bench.example>"}
{"event":"in_doubt","id":"q1","recipient":"A@b","node":"n1","term":3}
{"event":"in_doubt","id":"q2","recipient":"a@b"}
`
	for _, c := range []struct {
		copies  int
		queueID string
		outside int64
	}{
		{1, "q1", 0}, {2, "q1", 0}, {3, "q1", 1}, {2, "q9", 1}, {2, "", 0},
	} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			d, err := verdict.ReadDoubts(strings.NewReader(events))
			if err != nil {
				t.Fatal(err)
			}
			j := verdict.NewJudge(d)
			j.Seen(sink.Seen{ID: "x-2", Recipient: "a@b", Copies: c.copies})
			class := load.Acknowledged
			if c.queueID == "" {
				class = load.Unknown
			}
			j.Record(load.Record{ID: "x-2", QueueID: c.queueID, Class: class, To: []string{"a@b"}, At: time.Now()})
			v := j.Verdict()
			if v.OutsideDoubt != c.outside || v.SecondCopies != int64(c.copies-1) || v.OK() != (c.outside == 0) {
				t.Fatalf("judged %+v", v)
			}
		})
	}
}
