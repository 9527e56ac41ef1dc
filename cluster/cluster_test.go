package cluster_test

import (
	"testing"
	"time"
)

func TestThreeNodesElectAndReplicate(t *testing.T) {
	inWorld(t, 3, 3, func(w *world) {
		for shard := range w.node("n1").Shards() {
			w.put(uint16(shard+1), "a=1")
		}
		w.within(5*time.Second, "every replica has it", func() bool {
			for _, name := range w.names {
				for shard := range 3 {
					if v, _ := w.get(name, uint16(shard+1), "a"); v != "1" {
						return false
					}
				}
			}
			return true
		})
		w.within(20*time.Second, "leads are even", func() bool {
			for i, name := range w.names {
				if w.node("n1").Leader(uint16(i+1)) != name {
					return false
				}
			}
			return true
		})
		for shard := range 3 {
			w.equal(uint16(shard+1), w.names...)
		}
	})
}
