package event

import (
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestRoundTripSmoke(t *testing.T) {
	now := time.UnixMilli(1700000000123).UTC()
	e := Entry{Term: 3, Groups: []Group{{ID: "0123456789abcdefghjk", At: now, Events: []Event{
		&Released{}, &Claimed{Number: 1, Recipients: []uint32{0, 5}, By: Process{Node: "n1", Boot: 9}},
		&Accepted{ID: "0123456789abcdefghjk", Size: 3, Content: []byte("abc"), Digest: [32]byte{1}},
	}}}}
	b := Append(nil, e)
	got, err := Decode(b)
	if err != nil || !reflect.DeepEqual(got, e) {
		t.Fatalf("%v\n%+v", err, got)
	}
	_ = rapid.Check
}
