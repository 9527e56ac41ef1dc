package delivery

import "testing"

func TestAShardTakenOverNeedsNotWaitForOurOwn(t *testing.T) {
	var f fair
	own, taken := &office{}, &office{}
	for range 1000 {
		f.push(&job{office: own, sender: "a@example"})
	}
	f.push(&job{office: taken, sender: "a@example"})
	f.pop()
	if j := f.pop(); j.office != taken {
		t.Error("the mail of the shard taken over waits behind all of our own")
	}
}
