package group

import (
	"context"

	"quorumta/cluster/group/marks"
)

// Digest is a replica's running digest exactly behind a mark, and the digest of
// the whole state there where it was asked for.
type Digest = marks.Digest

// Mark has every replica look at its state in the same place, behind an entry
// that this node, the leader, proposes. It returns what names the place.
func (g *Group) Mark(ctx context.Context, id [16]byte, deep bool) ([]byte, error) {
	r, err := g.replica()
	if err != nil {
		return nil, err
	}
	entry := marks.Entry(id, deep)
	if _, err := r.propose(ctx, entry, nil); err != nil {
		return nil, err
	}
	return entry.Extensions, nil
}

// DigestAt is this replica's digest at the mark; it waits until the replica has
// come there.
func (g *Group) DigestAt(ctx context.Context, mark []byte) (Digest, error) {
	return g.fsm.Marks.Wait(ctx, mark)
}
