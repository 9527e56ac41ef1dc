package feed

import (
	"context"
	"errors"
	"testing"
)

func records(n int) []string {
	return make([]string, n)
}

func TestAFollowerGetsWhatIsRememberedAndThenWhatComes(t *testing.T) {
	var f Feed[string]
	f.Publish([]string{"a"})
	w := f.Follow()
	defer w.Close()
	got, err := w.Next(t.Context())
	if err != nil || len(got) != 1 || got[0] != "a" {
		t.Fatalf("got %v, %v", got, err)
	}
	go f.Publish([]string{"b"})
	if got, err = w.Next(t.Context()); err != nil || len(got) != 1 || got[0] != "b" {
		t.Fatalf("got %v, %v", got, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = w.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v", err)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	var f Feed[string]
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
