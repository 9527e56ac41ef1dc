package transport

import (
	"testing"
	"testing/synctest"
	"time"
)

// An append that fails again is held until there is a reason to try it once
// more, or none to wait for.
func TestAppendsToASilentPeerAreHeld(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(c *contacts, done chan struct{})
	}{
		{"the peer answers", func(c *contacts, _ chan struct{}) { c.answered("n2") }},
		{"a new term", func(c *contacts, _ chan struct{}) { c.acts(6) }},
		{"closed", func(_ *contacts, done chan struct{}) { close(done) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var all contacts
				all.acts(5)
				done, held := make(chan struct{}), make(chan struct{})
				all.hold("n2", 5, done) // the first returns at once
				go func() {
					defer close(held)
					all.hold("n2", 5, done)
				}()
				time.Sleep(time.Minute)
				all.answered("n3")
				synctest.Wait()
				select {
				case <-held:
					t.Fatal("not held")
				default:
				}
				c.end(&all, done)
				began := time.Now()
				<-held
				if took := time.Since(began); took > holdTick {
					t.Errorf("held for another %v", took)
				}
			})
		})
	}
}
