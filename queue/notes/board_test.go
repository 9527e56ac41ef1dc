package notes

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"quorumta/queue/event"
	"quorumta/queue/state"
)

// What is folded while the leader is asked is newer than its answer.
func TestAnAnswerIsOlderThanWhatWasFoldedMeanwhile(t *testing.T) {
	asked, answered := make(chan struct{}), make(chan struct{})
	b := New(Options{
		Shards: func() []uint16 { return []uint16{1} },
		Led:    func(uint16) bool { return false },
		Leader: func(uint16) string { return "n2" },
		Others: func() []string { return []string{"n2"} },
		Call: func(context.Context, string, string, []byte) ([]byte, error) {
			close(asked)
			<-answered
			// As the leader knew it before: one note that has ended meanwhile, and
			// not yet the one that came.
			return json.Marshal(answer{Notes: []carried{{Key: []byte("old"), Value: []byte("x")}}})
		},
		View: func(_ uint16, f func(state.Reader)) error { return context.Canceled },
		Now:  time.Now,
	})
	b.Fold(1, time.Now(), &event.Noted{Key: "old", Value: "x"})
	b.take(1, map[string]Note{"old": {Key: "old", Value: "x"}})
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.ask(t.Context(), 1)
	}()
	<-asked
	b.Fold(1, time.Now(), &event.Noted{Key: "new", Value: "y"})
	b.Fold(1, time.Now(), &event.Unnoted{Key: "old"})
	close(answered)
	<-done
	if n, ok := b.Get("new"); !ok || n.Value != "y" {
		t.Errorf("what came meanwhile is lost: %+v", b.List(""))
	}
	if _, ok := b.Get("old"); ok {
		t.Errorf("what ended meanwhile is back: %+v", b.List(""))
	}
}
