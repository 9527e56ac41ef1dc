package fold

import (
	"crypto/sha256"
	"testing"

	"github.com/hashicorp/raft"
)

// Replicas of different builds compare their digests, so that what is summed
// never changes.
func TestLinkSumsWhatItSays(t *testing.T) {
	before := sha256.Sum256([]byte("before"))
	summed := append(before[:],
		0, 0, 0, 0, 0, 0, 0, 2, // index
		0, 0, 0, 0, 0, 0, 0, 3, // term
		byte(raft.LogCommand),
		0xd2, 0x4e, 0xc4, 0xf1, 0xa9, 0x8c, 0x6e, 0x5b, // XXH64 of "a"
		0, 4, // results
	)
	l := &raft.Log{Index: 2, Term: 3, Type: raft.LogCommand, Data: []byte("a")}
	if got, want := link(before, l, []Result{0, 4}), sha256.Sum256(summed); got != want {
		t.Errorf("got %x, want %x", got, want)
	}
}

func BenchmarkLink(b *testing.B) {
	l := &raft.Log{Index: 2, Term: 3, Type: raft.LogCommand, Data: make([]byte, 40<<10)}
	results := make([]Result, 20)
	var chain [32]byte
	b.SetBytes(int64(len(l.Data)))
	b.ReportAllocs()
	for b.Loop() {
		chain = link(chain, l, results)
	}
}
