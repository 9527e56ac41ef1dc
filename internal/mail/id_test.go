package mail

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestMessageID(t *testing.T) {
	drawn := time.Date(2026, 3, 4, 5, 6, 7, 89_000_000, time.UTC)
	id := NewMessageID(drawn, 4095, [5]byte{0, 1, 2, 3, 255})
	if len(id) != 20 || id.Shard() != 4095 || !id.Time().Equal(drawn) {
		t.Fatalf("%s: shard %d, time %v", id, id.Shard(), id.Time())
	}
	if parsed, err := ParseMessageID(strings.ToUpper(string(id))); parsed != id || err != nil {
		t.Errorf("in upper case: %s, %v", parsed, err)
	}
	later := NewMessageID(drawn.Add(time.Millisecond), 1, [5]byte{})
	if later <= id {
		t.Errorf("%s does not sort after %s", later, id)
	}
}

// The layout may never change.
func TestMessageIDIsFrozen(t *testing.T) {
	id := NewMessageID(time.UnixMilli(1_700_000_000_123), 5, [5]byte{1, 2, 3, 4, 5})
	if want := MessageID("065wzsb8fc0504106105"); id != want {
		t.Errorf("got %s, want %s", id, want)
	}
}

func TestMessageIDRefuses(t *testing.T) {
	for _, s := range []string{"", "0123456789abcdefghj", "0123456789abcdefghjkm", "0123456789abcdefghji", "0123456789abcdefghjö", "065wzta1yw05042/c105", "065wzta1yw05042 c105"} {
		if id, err := ParseMessageID(s); !errors.Is(err, ErrBadID) {
			t.Errorf("%q: %q, %v", s, id, err)
		}
		if id := MessageID(s); len(s) != 20 && (id.Shard() != 0 || !id.Time().IsZero()) {
			t.Errorf("%q: shard %d, time %v", s, id.Shard(), id.Time())
		}
	}
	if id := MessageID("u123456789abcdefghjk"); id.Shard() != 0 || !id.Time().IsZero() {
		t.Errorf("%q is taken for an id", id)
	}
}

func TestReply(t *testing.T) {
	tests := []struct {
		reply                          Reply
		text                           string
		positive, transient, permanent bool
	}{
		{Reply{250, "2.0.0", "Ok"}, "250 2.0.0 Ok", true, false, false},
		{Reply{451, "", "later"}, "451 later", false, true, false},
		{Reply{550, "5.1.1", "no"}, "550 5.1.1 no", false, false, true},
		{Reply{}, "000 ", false, false, false},
	}
	for _, tt := range tests {
		r := tt.reply
		if r.String() != tt.text || r.Positive() != tt.positive || r.Transient() != tt.transient || r.Permanent() != tt.permanent {
			t.Errorf("%+v: %q", r, r)
		}
	}
}

func TestNotifyWants(t *testing.T) {
	tests := []struct {
		notify                  Notify
		success, failure, delay bool
	}{
		{0, false, true, true},
		{NotifyNever, false, false, false},
		{NotifySuccess, true, false, false},
		{NotifyFailure | NotifyDelay, false, true, true},
	}
	for _, tt := range tests {
		n := tt.notify
		if n.Wants(NotifySuccess) != tt.success || n.Wants(NotifyFailure) != tt.failure || n.Wants(NotifyDelay) != tt.delay {
			t.Errorf("NOTIFY %d", n)
		}
	}
}

// In a log an id is a string, without a detour.
func TestAnIDIsLoggedAsAString(t *testing.T) {
	id := MessageID("06dqdpn8000100000005")
	if v := slog.AnyValue(id).Resolve(); v.Kind() != slog.KindString || v.String() != string(id) {
		t.Errorf("logged as %v (%v)", v, v.Kind())
	}
}
