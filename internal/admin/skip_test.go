package admin

import (
	"strings"
	"testing"

	"quorumta/internal/admin/api"
)

// PROTOCOL 22, as an operator sees it: the status says where a shard stopped,
// the entry is skipped, and the message that it was about is held.
func TestTheWayPastAnEntryThatCannotBeFolded(t *testing.T) {
	h := open(t)
	id := h.submit(t, "to.example")
	shard := id.Shard()
	stopped := func() *api.Shard {
		s, err := h.client.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, sh := range s.Shards {
			if sh.ID == shard && sh.Stopped != "" {
				return &sh
			}
		}
		return nil
	}
	term, _ := h.node.Term(shard)
	if _, err := h.node.Propose(t.Context(), shard, term, append([]byte{0xff}, id...)); err == nil {
		t.Fatal("an entry that nobody can decode is folded")
	}
	wait(t, func() bool { return stopped() != nil })
	index := stopped().Applied + 1
	for _, c := range []struct {
		shard uint16
		index uint64
		words string
	}{
		{9, index, "there is no shard 9"},
		{shard, 0, "say which entry"},
		{shard, index + 1, "--force"},
		{shard, index - 1, "--force"},
	} {
		if err := h.client.Skip(t.Context(), c.shard, c.index, false); err == nil || !strings.Contains(err.Error(), c.words) {
			t.Errorf("skip %d of shard %d: %v", c.index, c.shard, err)
		}
	}
	if err := h.client.Skip(t.Context(), shard, index, false); err != nil {
		t.Fatal(err)
	}
	wait(t, func() bool {
		show, err := h.client.Show(t.Context(), api.ShowRequest{ID: id})
		return err == nil && show.Message != nil && show.Message.Held
	})
	if s := stopped(); s != nil {
		t.Errorf("still stopped: %s", s.Stopped)
	}
}
