package subject

import "testing"

func TestConfigure(t *testing.T) {
	const before = "cluster:\n  listen: x\nrouters:      # the first that takes it\n  - {name: b}\nkeep: {history: 7d}\n"
	got := string(FirstRouter(Configure([]byte(before), "cluster.shards: 6", "log: {level: error}"), "{name: a}"))
	const want = "cluster:\n  shards: 6\n  listen: x\nrouters:      # the first that takes it\n  - {name: a}\n  - {name: b}\nkeep: {history: 7d}\n\nlog: {level: error}\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
