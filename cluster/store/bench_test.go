package store

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func BenchmarkStoreLogs(b *testing.B) {
	for _, batch := range []uint64{1, 16, 64} {
		b.Run(fmt.Sprintf("10KB/batch=%d", batch), func(b *testing.B) {
			o := options(b, vfs.Default)
			o.Dir, o.MemoryBytes = b.TempDir(), 256<<20
			s := openWith(b, o)
			defer shut(b, s)
			l := logOf(b, s)
			logs := entries(1, batch, 1, 10<<10)
			b.SetBytes(int64(batch) * 10 << 10)
			b.ReportAllocs()
			for b.Loop() {
				store(b, l, logs...)
				for _, e := range logs {
					e.Index += batch
				}
			}
		})
	}
}

func BenchmarkUpdate(b *testing.B) {
	o := options(b, vfs.Default)
	o.Dir, o.MemoryBytes = b.TempDir(), 256<<20
	s := openWith(b, o)
	defer shut(b, s)
	st := stateOf(b, s)
	value := make([]byte, 300)
	b.ReportAllocs()
	index := uint64(0)
	for b.Loop() {
		u := st.Update()
		for range 20 {
			index++
			key := fmt.Appendf(nil, "message/%020d", index)
			u.Get(key)
			u.Set(key, value)
			u.Delete(fmt.Appendf(nil, "message/%020d", index-min(index, 1000)))
		}
		u.Commit(index, 1, [32]byte{})
	}
}

func BenchmarkView(b *testing.B) {
	s := open(b, vfs.NewMem())
	defer shut(b, s)
	st := stateOf(b, s)
	put(st, 1, "a", "1")
	b.Run("open", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			st.View().Close()
		}
	})
	b.Run("read head", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := readHead(s, s.state, 1); err != nil {
				b.Fatal(err)
			}
		}
	})
}
