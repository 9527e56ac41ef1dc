package transport

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// An append that fails again is held until there is a reason to try it once
// more, or none to wait for.
func TestAppendsToASilentPeerAreHeld(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(c *contacts, removed *atomic.Bool, done chan struct{})
	}{
		{"the peer answers", func(c *contacts, _ *atomic.Bool, _ chan struct{}) { c.answered("n2") }},
		{"a new term", func(c *contacts, _ *atomic.Bool, _ chan struct{}) { c.acts(6) }},
		{"the peer is removed", func(_ *contacts, removed *atomic.Bool, _ chan struct{}) { removed.Store(true) }},
		{"closed", func(_ *contacts, _ *atomic.Bool, done chan struct{}) { close(done) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var all contacts
				all.acts(5)
				var removed atomic.Bool
				member := func() bool { return !removed.Load() }
				done, held := make(chan struct{}), make(chan struct{})
				all.hold("n2", 5, member, done) // the first returns at once
				go func() {
					defer close(held)
					all.hold("n2", 5, member, done)
				}()
				time.Sleep(time.Minute)
				all.answered("n3")
				synctest.Wait()
				select {
				case <-held:
					t.Fatal("not held")
				default:
				}
				c.end(&all, &removed, done)
				began := time.Now()
				<-held
				if took := time.Since(began); took > holdTick {
					t.Errorf("held for another %v", took)
				}
			})
		})
	}
}
