package delivery

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"quorumta/delivery/thaw"
	"quorumta/internal/mail"
	"quorumta/queue"
	"quorumta/queue/state"
)

// noSender makes a submission a report's.
func noSender(s *queue.Submission) { s.Envelope.From = mail.Address{} }

// message is a message that is open; nil where it is not.
func (h *house) message(id mail.MessageID) *state.Message {
	h.t.Helper()
	m, _, err := h.Show(h.t.Context(), id)
	if errors.Is(err, queue.ErrNotFound) {
		return nil
	}
	if err != nil {
		h.t.Fatal(err)
	}
	return m
}

// TestFrozenReports: a report that fails is held for an operator; it is tried
// again when he releases it, fails and is held again, and ends at its time.
func TestFrozenReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, func(o *Options) {
			o.Rules.Freeze = thaw.Freeze{Reports: true, IgnoreAfter: 24 * time.Hour, EndAfter: 2 * time.Hour, ThawAfter: 10 * time.Minute}
		})
		a := h.remote("a.example")
		a.reply = always("RCPT TO:<gone", "550 5.1.1 who?")
		id := h.submit(noSender, "gone@a.example")
		held := func() bool { m := h.message(id); return m != nil && m.Held && m.HeldBy == thaw.Freezer }
		h.waitFor("the report is frozen", held)
		if m := h.message(id); !strings.Contains(m.HeldWhy, "550 5.1.1 who?") {
			t.Error(m.HeldWhy)
		}
		time.Sleep(time.Hour)
		if !held() {
			t.Error("a report is thawed by itself")
		}
		before := strings.Count(h.story(id), "claimed")
		if err := h.Operate(t.Context(), queue.ActRelease, id, "me", ""); err != nil {
			t.Fatal(err)
		}
		h.waitFor("it is frozen again", func() bool { return held() && strings.Count(h.story(id), "claimed") > before })
		h.waitFor("it has ended", func() bool { return h.message(id) == nil })
		if story := h.story(id); !strings.HasSuffix(story, "failed[0] 550") || strings.Contains(story, "report") {
			t.Error(story)
		}
	})
}

// TestIgnoredReports: one that fails when it is old enough is discarded; what a
// person holds is not let go.
func TestIgnoredReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, func(o *Options) {
			o.Rules.Freeze = thaw.Freeze{Reports: true, IgnoreAfter: 30 * time.Minute, EndAfter: time.Minute, ThawAfter: time.Minute}
		})
		a := h.remote("a.example")
		a.reply = times(1, "RCPT", "450 4.2.0 later")
		id := h.submit(noSender, "gone@a.example")
		h.waitFor("it is deferred", func() bool { return strings.Contains(h.story(id), "deferred") })
		if err := h.Operate(t.Context(), queue.ActHold, id, "me", "by hand"); err != nil {
			t.Fatal(err)
		}
		a.change(func(r *remote) { r.reply = always("RCPT", "550 5.1.1 who?") })
		time.Sleep(time.Hour)
		if m := h.message(id); m == nil || m.HeldBy != "me" {
			t.Fatal("what a person holds is let go")
		}
		if err := h.Operate(t.Context(), queue.ActRelease, id, "me", ""); err != nil {
			t.Fatal(err)
		}
		h.waitEmpty()
	})
}

// TestThaw: what the relay holds itself, and has a sender, is tried again.
func TestThaw(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, func(o *Options) { o.Rules.Freeze = thaw.Freeze{ThawAfter: time.Hour} })
		a := h.remote("a.example")
		a.refuse = true
		id := h.submit(nil, "1@a.example")
		h.waitFor("it is deferred", func() bool { return strings.Contains(h.story(id), "deferred") })
		if err := h.Operate(t.Context(), queue.ActHold, id, thaw.Holder, "stored content is damaged"); err != nil {
			t.Fatal(err)
		}
		a.change(func(r *remote) { r.refuse = false })
		began := time.Now()
		h.waitEmpty()
		if took := time.Since(began); took < time.Hour || took > time.Hour+5*time.Minute || len(a.got()) != 1 {
			t.Errorf("after %v", took)
		}
	})
}
