package throttle

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		w := NewWriter(t.Context(), &b, 1<<20)
		start := time.Now()
		for range 5 {
			if _, err := w.Write(make([]byte, 2<<20)); err != nil {
				t.Fatal(err)
			}
		}
		if d := time.Since(start); d < 9900*time.Millisecond || d > 10*time.Second || b.Len() != 10<<20 {
			t.Errorf("%d bytes took %v", b.Len(), d)
		}
		time.Sleep(time.Hour) // saves nothing up
		start = time.Now()
		if _, err := w.Write(make([]byte, 3<<20)); err != nil || time.Since(start) < 2900*time.Millisecond {
			t.Errorf("after a rest: %v, %v", time.Since(start), err)
		}
	})
}

func TestNoRate(t *testing.T) {
	var b bytes.Buffer
	if n, err := NewWriter(t.Context(), &b, 0).Write(make([]byte, 1<<20)); n != 1<<20 || err != nil || b.Len() != n {
		t.Errorf("%d bytes: %v", n, err)
	}
}

func TestContextEndsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		n, err := NewWriter(ctx, &bytes.Buffer{}, 1<<20).Write(make([]byte, 100<<20))
		if !errors.Is(err, context.DeadlineExceeded) || n > 2<<20 {
			t.Errorf("%d bytes: %v", n, err)
		}
	})
}
