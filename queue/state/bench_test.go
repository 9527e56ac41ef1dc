package state

import (
	"fmt"
	"testing"
	"time"

	"quorumta/internal/mail"
	"quorumta/queue/event"
)

// BenchmarkFold is the life of a message: accepted, and for each recipient
// claimed and delivered alone.
func BenchmarkFold(b *testing.B) {
	for _, recipients := range []int{1, 10, 1000} {
		b.Run(fmt.Sprintf("recipients=%d", recipients), func(b *testing.B) {
			entries := life(recipients)
			s := mapStore{}
			b.ReportAllocs()
			for b.Loop() {
				for i, e := range entries {
					if r := Fold(s, s, uint64(i), 1, e); r[0] != Applied {
						b.Fatal(r)
					}
				}
				clear(s)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*recipients), "ns/recipient")
		})
	}
}

func life(recipients int) []event.Entry {
	id := mail.NewMessageID(epoch, 1, [5]byte{1})
	a := &event.Accepted{ID: id, Size: 10 << 10, Content: make([]byte, 10<<10)}
	for i := range recipients {
		to := mail.Address{Local: fmt.Sprint("user", i), Domain: "example.com"}
		a.Envelope.Recipients = append(a.Envelope.Recipients, mail.Recipient{Address: to})
	}
	events := []event.Event{a}
	for i := range uint32(recipients) {
		reply := mail.Reply{Code: 250, Enhanced: "2.0.0", Text: "Ok: queued as 0123456789"}
		attempt := event.Attempt{Number: i + 1, Node: "n1", Router: "mx", Host: "mx.example.com", Reply: reply}
		events = append(events,
			&event.Claimed{Number: i + 1, Recipients: []uint32{i}, By: event.Process{Node: "n1", Boot: 1}},
			&event.Delivered{Recipients: []uint32{i}, Attempt: attempt})
	}
	var entries []event.Entry
	for i, e := range events {
		g := event.Group{ID: id, At: epoch.Add(time.Duration(i) * time.Second), Events: []event.Event{e}}
		entries = append(entries, event.Entry{Term: 1, Groups: []event.Group{g}})
	}
	return entries
}
