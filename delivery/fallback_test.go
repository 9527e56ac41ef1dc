package delivery

import (
	"testing"
	"testing/synctest"
	"time"

	"quorumta/delivery/route"
)

// TestFallback: what cannot reach its hosts goes to the router's fallback, and to
// them again when they are back.
func TestFallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, func(o *Options) {})
		h.rules(func(r *Rules) {
			r.Router = table(t, h.world, route.Router{Name: "internet", MX: true, Find: route.Find{Fallback: []string{"fall.example"}}})
		})
		first, fall := h.remote("first.example"), h.remote("fall.example")
		first.refuse = true
		h.submit(nil, "1@first.example")
		h.waitFor("the fallback has it", func() bool { return len(fall.got()) == 1 })
		first.change(func(r *remote) { r.refuse = false })
		time.Sleep(10 * time.Minute) // until nobody remembers
		h.submit(nil, "2@first.example")
		h.waitFor("it goes where it should", func() bool { return len(first.got()) == 1 })
		if len(fall.got()) != 1 {
			t.Error("the fallback has more than it should")
		}
	})
}
