package call

import (
	"context"
	"errors"
	"testing"
)

func TestACallGoesThereAndBack(t *testing.T) {
	double := Answer(func(_ context.Context, n int) (int, error) {
		if n < 0 {
			return 0, errors.New("negative")
		}
		return 2 * n, nil
	})
	to := func(ctx context.Context, _, _ string, request []byte) ([]byte, error) {
		return double(ctx, "n1", request)
	}
	if got, err := Ask[int, int](t.Context(), to, "n2", "double", 21); got != 42 || err != nil {
		t.Errorf("got %d, %v", got, err)
	}
	if _, err := Ask[int, int](t.Context(), to, "n2", "double", -1); err == nil {
		t.Error("the handler's error is lost")
	}
	if _, err := Ask[string, int](t.Context(), to, "n2", "double", "x"); err == nil {
		t.Error("a request of another type is taken")
	}
	if _, err := Ask[int, string](t.Context(), to, "n2", "double", 1); err == nil {
		t.Error("an answer of another type is taken")
	}
	if _, err := Ask[chan int, int](t.Context(), to, "n2", "double", nil); err == nil {
		t.Error("a request that cannot be encoded is taken")
	}
}
