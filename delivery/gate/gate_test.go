package gate

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(2)
		ctx := t.Context()
		for range 2 {
			if !g.Enter(ctx, "slow") {
				t.Fatal("closed")
			}
		}
		began := time.Now()
		if g.Enter(ctx, "slow") || time.Since(began) != wait {
			t.Errorf("the third one after %v", time.Since(began))
		}
		if g.Enter(ctx, "slow") || time.Since(began) != wait {
			t.Error("waits again where that was in vain")
		}
		if !g.Enter(ctx, "other") {
			t.Error("one key keeps another waiting")
		}
		g.Leave("other")
		g.Leave("slow")
		if !g.Enter(ctx, "slow") {
			t.Error("no room after one has left")
		}
		time.AfterFunc(wait/2, func() { g.Leave("slow") })
		if !g.Enter(ctx, "slow") {
			t.Error("does not wait for a fast key")
		}
		g.Leave("slow")
		g.Leave("slow")
		if len(g.doors) != 0 {
			t.Error("doors are left")
		}
	})
}
