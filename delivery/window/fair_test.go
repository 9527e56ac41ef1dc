package window

import "testing"

func TestAShardTakenOverNeedsNotWaitForOurOwn(t *testing.T) {
	var f fair
	own, taken := Office{1, 7}, Office{2, 3}
	for range 1000 {
		f.push(&Job{Key: Key{Office: own}, Sender: "a@example"})
	}
	f.push(&Job{Key: Key{Office: taken}, Sender: "a@example"})
	f.pop()
	if j := f.pop(); j.Office != taken {
		t.Error("the mail of the shard taken over waits behind all of our own")
	}
}
