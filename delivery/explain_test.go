package delivery

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"quorumta/delivery/explain"
	"quorumta/delivery/retry"
	"quorumta/queue"
)

// TestExplain: of each recipient it is told what it waits for, by which rule, and
// until when.
func TestExplain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, func(o *Options) {
			o.Rules.Retry = ruled(t, retry.Options{}, retry.Step{Letter: 'F', Cutoff: 10 * time.Hour, Interval: 2 * time.Hour, Factor: 1})
		})
		grey, dead, slow := h.remote("grey.example"), h.remote("dead.example"), h.remote("slow.example")
		grey.reply = always("RCPT", "450 4.7.1 greylisted")
		slow.reply = always("DATA", "wait")
		dead.refuse = true
		id := h.submit(nil, "1@grey.example", "1@dead.example", "1@slow.example", "1@alive.example")
		h.remote("alive.example")
		began := time.Now()
		time.Sleep(2 * time.Second)
		second := h.submit(nil, "2@dead.example")
		told := func() map[uint32]explain.Waiting {
			all, ok := h.delivery.Explain(id)
			if !ok {
				t.Fatal("not known")
			}
			byN := map[uint32]explain.Waiting{}
			for _, w := range all {
				byN[w.Recipient] = w
			}
			return byN
		}
		got := told()
		if w := got[0]; w.For != explain.ForTime || w.Rule != "test" || w.Step != "F 10h 2h" || w.Until.Sub(began).Round(time.Minute) != 2*time.Hour || w.Expires.Sub(began).Round(time.Minute) != 10*time.Hour {
			t.Errorf("greylisted: %+v", w)
		}
		if w := got[1]; w.For != explain.ForHost || !strings.Contains(w.Why, "dead.example 192.0.2.2:25 has failed since 2000-01-01T00:00:") || !strings.Contains(w.Why, "connection refused") {
			t.Errorf("of a bad host: %+v", w)
		}
		if w := got[2]; w.For != explain.ForAnswer || w.Rule != "" || !w.Expires.IsZero() {
			t.Errorf("under way: %+v", w)
		}
		if _, there := got[3]; there && len(h.remote("alive.example").got()) > 0 {
			t.Error("what is delivered waits")
		}
		synctest.Wait()
		all, _ := h.delivery.Explain(second)
		if len(all) != 1 || all[0].For != explain.ForSite || all[0].Until.IsZero() || !strings.Contains(all[0].Why, "dead.example: connection refused") {
			t.Errorf("of a site that rests: %+v", all)
		}
		if err := h.Operate(t.Context(), queue.ActHold, id, "me", "for a look"); err != nil {
			t.Fatal(err)
		}
		if w := told()[0]; w.For != explain.ForRelease || !strings.Contains(w.Why, "for a look") {
			t.Errorf("held: %+v", w)
		}
		if _, ok := h.delivery.Explain("00000000000000000000"); ok {
			t.Error("what nobody knows is explained")
		}
	})
}
