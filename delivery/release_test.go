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

// TestRelease: a message that its sender wants released later is tried then and
// not before; warnings and the last attempt count from then on (RFC 4865), and
// while it waits it is said what for.
func TestRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, func(o *Options) {
			o.Rules.Retry = every(t, time.Hour, 10*time.Hour)
			o.Rules.Warnings = retry.Warnings{90 * time.Minute}
		})
		grey, senders := h.remote("grey.example"), h.remote("sender.example")
		grey.reply = always("RCPT", "450 4.7.1 greylisted")
		release := time.Now().Add(2 * time.Hour).UTC().Truncate(time.Millisecond)
		id := h.submit(func(s *queue.Submission) { s.Release = release }, "1@grey.example")

		time.Sleep(time.Until(release) - time.Second)
		synctest.Wait()
		if story := h.story(id); story != "accepted" {
			t.Fatalf("before its time: %s", story)
		}
		all, _ := h.delivery.Explain(id)
		if len(all) != 1 || all[0].For != explain.ForDate || !all[0].Until.Equal(release) || !all[0].Expires.IsZero() {
			t.Errorf("%+v", all)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if story := h.story(id); story != "accepted claimed[0] deferred[0] 450" {
			t.Fatalf("at its time: %s", story)
		}
		if all, _ = h.delivery.Explain(id); len(all) != 1 || all[0].For != explain.ForTime || all[0].Expires.Sub(release).Round(time.Minute) != 10*time.Hour {
			t.Errorf("%+v", all)
		}
		h.waitFor("the warning", func() bool { return len(senders.got()) == 1 })
		if late := time.Since(release); late < 90*time.Minute || late > 2*time.Hour+time.Minute {
			t.Errorf("warned %v after the release", late)
		}
		if text := senders.got()[0].content; !strings.Contains(text, "\r\nFuture-Release-Request: until; "+release.Format(time.RFC3339)+"\r\n") {
			t.Error(text)
		}
		h.waitEmpty()
		if after := time.Since(release).Round(time.Hour); after != 10*time.Hour {
			t.Errorf("its end came %v after the release", after)
		}
	})
}
