package feed

import (
	"context"
	"errors"
	"testing"

	"quorumta/queue/state"
)

func records(n int) []state.Record {
	return make([]state.Record, n)
}

func TestAFollowerGetsWhatIsRememberedAndThenWhatComes(t *testing.T) {
	var f Feed
	f.Publish([]state.Record{{ID: "a"}})
	w := f.Follow()
	defer w.Close()
	got, err := w.Next(t.Context())
	if err != nil || len(got) != 1 || got[0].ID != "a" {
		t.Fatalf("got %v, %v", got, err)
	}
	go f.Publish([]state.Record{{ID: "b"}})
	if got, err = w.Next(t.Context()); err != nil || len(got) != 1 || got[0].ID != "b" {
		t.Fatalf("got %v, %v", got, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = w.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v", err)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	var f Feed
	w := f.Follow()
	for range 2 * buffered / 1000 {
		f.Publish(records(1000))
	}
	if len(f.recent) > 2*remembered {
		t.Errorf("%d records remembered", len(f.recent))
	}
	if _, err := w.Next(t.Context()); !errors.Is(err, ErrBehind) {
		t.Errorf("err = %v, want ErrBehind", err)
	}
	w.Close()
	if len(f.followers) != 0 {
		t.Error("a closed follower is kept")
	}
}
