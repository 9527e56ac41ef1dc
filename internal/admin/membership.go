package admin

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"connectrpc.com/connect"

	"quorumta/cluster"
	"quorumta/internal/admin/api"
	"quorumta/internal/admin/token"
)

// Bounds of a token's life.
const (
	defaultTokenLife = 24 * time.Hour
	longestTokenLife = 30 * 24 * time.Hour
)

// token draws a token that lets one node join.
func (s *Server) token(ctx context.Context, q *api.TokenRequest) (*api.Token, error) {
	life := time.Duration(q.LifeSeconds) * time.Second
	switch {
	case q.LifeSeconds == 0:
		life = defaultTokenLife
	case q.LifeSeconds < 0 || life > longestTokenLife:
		return nil, invalid("a token lives between a second and %v", longestTokenLife)
	}
	if s.ca == ([32]byte{}) {
		return nil, connect.NewError(connect.CodeFailedPrecondition, fmt.Errorf("the node does not know the cluster's CA"))
	}
	expires := time.Now().Add(life)
	secret, err := s.node.NewToken(ctx, life)
	if err != nil {
		return nil, fmt.Errorf("draw a token: %w", err)
	}
	t := token.Token{CA: s.ca}
	if copy(t.Secret[:], secret) != len(t.Secret) {
		return nil, fmt.Errorf("draw a token: a secret of %d bytes", len(secret))
	}
	return &api.Token{Token: t.String(), Expires: api.Time{Time: expires}}, nil
}

// remove has a member leave. One that is alive ends its sessions by itself, and
// is a member until then: no client is refused because a member left.
func (s *Server) remove(ctx context.Context, q *api.RemoveRequest) (*api.Done, error) {
	if !slices.ContainsFunc(s.node.Nodes(), func(n cluster.NodeStatus) bool { return n.Name == q.Node }) {
		return nil, invalid("%q is no member; cluster status names them", q.Node)
	}
	if err := s.node.Remove(ctx, q.Node, q.Force); err != nil {
		return nil, fmt.Errorf("remove %s: %w", q.Node, err)
	}
	return &api.Done{}, nil
}

func (s *Server) shards(ctx context.Context, q *api.ShardsRequest) (*api.Done, error) {
	if err := s.node.SetShards(ctx, q.Count); err != nil {
		return nil, fmt.Errorf("set the number of shards: %w", err)
	}
	return &api.Done{Count: q.Count}, nil
}

// upgrade is how far the cluster's upgrade is.
func (s *Server) upgrade(context.Context, *struct{}) (*api.Upgrade, error) {
	m := s.node.Map()
	out := &api.Upgrade{Level: m.Level, Members: []api.Release{}}
	for i, x := range m.Members {
		out.Members = append(out.Members, api.Release{Node: x.Name, Version: x.Version, Level: x.Level})
		if i == 0 || x.Level < out.Ready {
			out.Ready = x.Level
		}
		out.Newest = max(out.Newest, x.Level)
	}
	return out, nil
}

func (s *Server) finishUpgrade(ctx context.Context, q *struct{}) (*api.Upgrade, error) {
	before, err := s.upgrade(ctx, q)
	if err != nil {
		return nil, err
	}
	if err := s.node.FinishUpgrade(ctx); err != nil {
		return nil, fmt.Errorf("finish the upgrade: %w", err)
	}
	// The map that says so comes to this node a little later.
	waiting, cancel := context.WithTimeout(ctx, mapBound)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for s.node.Map().Level < before.Ready && waiting.Err() == nil {
		select {
		case <-tick.C:
		case <-waiting.Done():
		}
	}
	return s.upgrade(ctx, q)
}

// mapBound is how long a change of the map may take to come here.
const mapBound = 5 * time.Second

func (s *Server) skip(ctx context.Context, q *api.SkipRequest) (*api.Done, error) {
	if !slices.Contains(s.node.Shards(), q.Shard) {
		return nil, invalid("there is no shard %d", q.Shard)
	}
	if q.Index == 0 {
		return nil, invalid("say which entry: the log of the node that stopped names it")
	}
	if err := s.node.Skip(ctx, q.Shard, q.Index, q.Force); err != nil {
		return nil, fmt.Errorf("skip entry %d of shard %d: %w", q.Index, q.Shard, err)
	}
	return &api.Done{}, nil
}

// Backup writes a backup of the cluster's queue. rate bounds it, bytes a
// second; 0 does not. told is called when a shard is begun and has been
// written; an error of w ends it.
type Backup func(ctx context.Context, w io.Writer, rate int64, told func(api.Progress)) error

// Offer gives the server what it cannot make itself; it is called before Serve.
// ca is the SHA-256 of the certificate of the cluster's CA.
func (s *Server) Offer(ca [32]byte, backup Backup) { s.ca, s.backup = ca, backup }

// backUp streams a backup.
func (s *Server) backUp(ctx context.Context, q *connect.Request[api.BackupRequest], out *connect.ServerStream[api.BackupPart]) error {
	switch {
	case s.backup == nil:
		return connect.NewError(connect.CodeUnimplemented, fmt.Errorf("the node makes no backups"))
	case q.Msg.Rate < 0:
		return invalid("a rate is not negative")
	}
	w := parts{out}
	err := s.backup(ctx, w, q.Msg.Rate, func(p api.Progress) { _ = out.Send(&api.BackupPart{Progress: &p}) })
	if err != nil {
		return coded(fmt.Errorf("back up: %w", err))
	}
	return nil
}

// parts is a stream of parts as a writer.
type parts struct {
	stream *connect.ServerStream[api.BackupPart]
}

// longestPart is the longest part, bytes.
const longestPart = 1 << 20

// Write implements io.Writer.
func (p parts) Write(b []byte) (int, error) {
	n := 0
	for part := range slices.Chunk(b, longestPart) {
		if err := p.stream.Send(&api.BackupPart{Data: part}); err != nil {
			return n, err
		}
		n += len(part)
	}
	return n, nil
}
