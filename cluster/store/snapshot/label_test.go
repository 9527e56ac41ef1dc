package snapshot

import (
	"encoding/binary"
	"hash/crc32"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"
)

func TestLabelKeepsEveryField(t *testing.T) {
	want := &Label{
		Kind: Received, Version: 1, Index: 3, Term: 2, ConfigIndex: 1, Size: 99, Lineage: [16]byte{5},
		Config: raft.Configuration{Servers: []raft.Server{{ID: "n1-x", Address: "10.0.0.1:7900"}}},
	}
	got, err := decode(want.encode())
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add((&Label{Kind: Marker, Version: 1, Index: 3, Term: 2}).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		summed := binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
		for _, b := range [][]byte{b, summed} {
			if l, err := decode(b); (l == nil) != (err != nil) {
				t.Fatalf("%v, %v", l, err)
			}
		}
	})
}
