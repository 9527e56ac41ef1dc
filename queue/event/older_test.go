package event

import (
	"testing"
)

// TestLateKindsOfErrors: what is recorded with one is read again, and while
// members are there that do not know it, it is recorded in their words.
func TestLateKindsOfErrors(t *testing.T) {
	old := map[ErrorKind]ErrorKind{
		ErrorRefused: ErrorConnect, ErrorConnectTimeout: ErrorConnect, ErrorAuth: ErrorGreeting,
		ErrorTLSRequired: ErrorTLS, ErrorQuota: ErrorRecipient,
	}
	for kind := ErrorNone; kind <= NewestError; kind++ {
		group := Group{ID: "0123456789abcdefghjk", Events: []Event{
			&Deferred{Recipients: []uint32{1}, Error: kind}, &Failed{Recipients: []uint32{2}, Error: kind}, &Expired{Recipients: []uint32{3}, Error: kind},
		}}
		for level := 1; level <= Newest; level++ {
			want := kind
			if late, ok := old[kind]; ok && level < 3 {
				want = late
			}
			entry, err := Decode(Append(nil, Entry{Term: 1, Groups: []Group{AtLevel(level, group)}}))
			if err != nil {
				t.Errorf("kind %d: %v", kind, err)
				continue
			}
			events := entry.Groups[0].Events
			if got := [...]ErrorKind{events[0].(*Deferred).Error, events[1].(*Failed).Error, events[2].(*Expired).Error}; got != [...]ErrorKind{want, want, want} {
				t.Errorf("kind %d at level %d is %v", kind, level, got)
			}
		}
		if group.Events[0].(*Deferred).Error != kind {
			t.Error("the group itself has changed")
		}
	}
}
