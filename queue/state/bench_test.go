package state

import (
	"fmt"
	"testing"
	"time"

	"quorumta/internal/mail"
	"quorumta/queue/event"
	"quorumta/queue/state/recent"
)

// BenchmarkFold is the life of a message: accepted, and for each attempt of some
// recipients claimed and delivered.
func BenchmarkFold(b *testing.B) {
	for _, size := range []struct{ recipients, attempt int }{
		{1, 1}, {10, 1}, {1000, 1}, {1000, 50}, {10_000, 1}, {10_000, 50},
	} {
		b.Run(fmt.Sprintf("recipients=%d/attempt=%d", size.recipients, size.attempt), func(b *testing.B) {
			entries := life(size.recipients, size.attempt)
			s := &counted{mapStore: mapStore{}}
			var folder Folder
			b.ReportAllocs()
			for b.Loop() {
				for i, e := range entries {
					if r := folder.Fold(s, s, uint64(i), 1, e); r[0] != Applied {
						b.Fatal(r)
					}
				}
				clear(s.mapStore)
			}
			each := 1 / float64(b.N*size.recipients)
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())*each, "ns/recipient")
			b.ReportMetric(float64(s.written)*each, "written-B/recipient")
		})
	}
}

// counted counts the bytes of the rows that are written.
type counted struct {
	mapStore
	written int
}

func (c *counted) Set(key, value []byte) {
	c.mapStore.Set(key, value)
	c.written += len(key) + len(value)
}

func life(recipients, attempt int) []event.Entry {
	id := mail.NewMessageID(epoch, 1, [5]byte{1})
	a := &event.Accepted{ID: id, Size: 10 << 10, Content: make([]byte, 10<<10)}
	for i := range recipients {
		to := mail.Address{Local: fmt.Sprint("user", i), Domain: "example.com"}
		a.Envelope.Recipients = append(a.Envelope.Recipients, mail.Recipient{Address: to})
	}
	events := []event.Event{a}
	for i := range uint32(recipients / attempt) {
		var list []uint32
		for j := range uint32(attempt) {
			list = append(list, i*uint32(attempt)+j)
		}
		reply := mail.Reply{Code: 250, Enhanced: "2.0.0", Text: "Ok: queued as 0123456789"}
		tried := event.Attempt{Number: i + 1, Node: "n1", Router: "mx", Host: "mx.example.com", Reply: reply}
		events = append(events,
			&event.Claimed{Number: i + 1, Recipients: list, By: event.Process{Node: "n1", Boot: 1}},
			&event.Delivered{Recipients: list, Attempt: tried})
	}
	var entries []event.Entry
	for i, e := range events {
		g := event.Group{ID: id, At: epoch.Add(time.Duration(i) * time.Second), Events: []event.Event{e}}
		entries = append(entries, event.Entry{Term: 1, Groups: []event.Group{g}})
	}
	return entries
}

// void is a store that is not asked: what is written is remembered.
type void struct{}

func (void) Get([]byte) ([]byte, bool)                      { return nil, false }
func (void) Scan(_, _ []byte, _ func(key, row []byte) bool) {}
func (void) Set(_, _ []byte)                                {}
func (void) Delete([]byte)                                  {}
func (void) DeleteRange(_, _ []byte)                        {}

// BenchmarkLife is the life of messages to one recipient, from the bytes of the
// log to the rows that are remembered, on a member that has the office.
func BenchmarkLife(b *testing.B) {
	var rows recent.Rows
	var folder Folder
	var log []byte
	index := uint64(0)
	entries := life(1, 1)
	b.ReportAllocs()
	for b.Loop() {
		id := mail.NewMessageID(epoch.Add(time.Duration(index)*time.Second), 1, [5]byte{})
		for _, e := range entries {
			e.Groups[0].ID = id
			if a, ok := e.Groups[0].Events[0].(*event.Accepted); ok {
				a.ID = id
			}
			log = event.Append(log[:0], e)
			index++
			decoded, err := event.Decode(log)
			if err != nil {
				b.Fatal(err)
			}
			r := rows.Entry(index, void{}, void{}, true)
			if r := folder.Fold(r, r, index, 1, decoded); r[0] != Applied {
				b.Fatal(r)
			}
			r.End()
		}
	}
}
