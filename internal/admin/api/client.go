package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"connectrpc.com/connect"
)

// Client asks a running node.
type Client struct {
	http *http.Client
	base string
}

// ErrNoMajority is wrapped by what fails because the cluster cannot decide
// now; the same request may work later.
var ErrNoMajority = errors.New("the cluster cannot decide now: no majority, or no leader yet")

// DialSocket makes a client of the node with the Unix socket.
func DialSocket(path string) *Client {
	var d net.Dialer
	return &Client{base: "http://node", http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return d.DialContext(ctx, "unix", path)
		},
	}}}
}

// DialTLS makes a client of the node at host:port. config has the client's
// certificate and the cluster's CA.
func DialTLS(address string, config *tls.Config) *Client {
	return &Client{base: "https://" + address, http: &http.Client{Transport: &http.Transport{
		TLSClientConfig: config, TLSHandshakeTimeout: 10 * time.Second, ForceAttemptHTTP2: true,
	}}}
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Status asks for nodes and shards.
func (c *Client) Status(ctx context.Context) (*Status, error) {
	return call[struct{}, Status](ctx, c, "ClusterStatus", &struct{}{})
}

// Digest asks for the replicas' digests.
func (c *Client) Digest(ctx context.Context, deep bool) (*Digest, error) {
	return call[DigestRequest, Digest](ctx, c, "ClusterDigest", &DigestRequest{Deep: deep})
}

// Drain begins a node's drain.
func (c *Client) Drain(ctx context.Context, node string) error {
	_, err := call[DrainRequest, Done](ctx, c, "ClusterDrain", &DrainRequest{Node: node})
	return err
}

// Transfer hands a shard's lead to a node.
func (c *Client) Transfer(ctx context.Context, shard uint16, node string) error {
	_, err := call[TransferRequest, Done](ctx, c, "ClusterTransfer", &TransferRequest{Shard: shard, Node: node})
	return err
}

// Token draws a token that lets one node join.
func (c *Client) Token(ctx context.Context, life time.Duration) (*Token, error) {
	return call[TokenRequest, Token](ctx, c, "ClusterToken", &TokenRequest{LifeSeconds: int64(life / time.Second)})
}

// Remove has a member leave; it goes on after the answer.
func (c *Client) Remove(ctx context.Context, node string, force bool) error {
	_, err := call[RemoveRequest, Done](ctx, c, "ClusterRemove", &RemoveRequest{Node: node, Force: force})
	return err
}

// SetShards sets how many shards take new mail; 0 means one per member.
func (c *Client) SetShards(ctx context.Context, count int) error {
	_, err := call[ShardsRequest, Done](ctx, c, "ClusterShards", &ShardsRequest{Count: count})
	return err
}

// Upgrade tells how far the cluster's upgrade is.
func (c *Client) Upgrade(ctx context.Context) (*Upgrade, error) {
	return call[struct{}, Upgrade](ctx, c, "ClusterUpgradeStatus", &struct{}{})
}

// FinishUpgrade lets events be written of the newest level that all know.
func (c *Client) FinishUpgrade(ctx context.Context) (*Upgrade, error) {
	return call[struct{}, Upgrade](ctx, c, "ClusterUpgradeFinish", &struct{}{})
}

// Skip has no replica fold the entry. A replica must have stopped there, or it is
// forced.
func (c *Client) Skip(ctx context.Context, shard uint16, index uint64, force bool) error {
	_, err := call[SkipRequest, Done](ctx, c, "ClusterSkip", &SkipRequest{Shard: shard, Index: index, Force: force})
	return err
}

// Backup writes a backup to w, at most rate bytes a second (0: unbounded), and
// tells how far it is. What was written is whole only if the error is nil.
func (c *Client) Backup(ctx context.Context, w io.Writer, rate int64, told func(Progress)) error {
	return stream(ctx, c, "ClusterBackup", &BackupRequest{Rate: rate}, func(p *BackupPart) error {
		if p.Progress != nil {
			told(*p.Progress)
		}
		_, err := w.Write(p.Data)
		return err
	})
}

// List asks for a page of messages.
func (c *Client) List(ctx context.Context, q ListRequest) (*List, error) {
	return call[ListRequest, List](ctx, c, "QueueList", &q)
}

// Count asks for the totals.
func (c *Client) Count(ctx context.Context) (*Totals, error) {
	return call[struct{}, Totals](ctx, c, "QueueCount", &struct{}{})
}

// Show asks for one message.
func (c *Client) Show(ctx context.Context, q ShowRequest) (*Show, error) {
	return call[ShowRequest, Show](ctx, c, "QueueShow", &q)
}

// Act does an operator's act and returns to how many messages.
func (c *Client) Act(ctx context.Context, q ActRequest) (int, error) {
	done, err := call[ActRequest, Done](ctx, c, "QueueAct", &q)
	if err != nil {
		return 0, err
	}
	return done.Count, nil
}

// Reroute names the hosts of messages and returns of how many.
func (c *Client) Reroute(ctx context.Context, q RerouteRequest) (int, error) {
	done, err := call[RerouteRequest, Done](ctx, c, "QueueReroute", &q)
	if err != nil {
		return 0, err
	}
	return done.Count, nil
}

// Edit changes the recipients of a message.
func (c *Client) Edit(ctx context.Context, q EditRequest) error {
	_, err := call[EditRequest, Done](ctx, c, "QueueEdit", &q)
	return err
}

// Resume lets everything go on that waits because it was restored.
func (c *Client) Resume(ctx context.Context, by string) error {
	_, err := call[ResumeRequest, Done](ctx, c, "QueueResume", &ResumeRequest{By: by})
	return err
}

// Events calls f for each event until the stream, ctx or f's patience ends.
func (c *Client) Events(ctx context.Context, q EventsRequest, f func(*Event) error) error {
	return stream(ctx, c, "Events", &q, f)
}

// stream calls f for each message of a stream of answers.
func stream[Q, A any](ctx context.Context, c *Client, method string, q *Q, f func(*A) error) error {
	// A stream that follows has no end of its own: Close would wait for it.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	client := connect.NewClient[Q, A](c.http, c.base+"/v1/"+method, clientOptions()...)
	stream, err := client.CallServerStream(ctx, connect.NewRequest(q))
	if err != nil {
		return explained(err)
	}
	for stream.Receive() {
		if err := f(stream.Msg()); err != nil {
			cancel()
			_ = stream.Close() // it was we who broke it off
			return err
		}
	}
	return errors.Join(explained(stream.Err()), stream.Close())
}

func call[Q, A any](ctx context.Context, c *Client, method string, q *Q) (*A, error) {
	client := connect.NewClient[Q, A](c.http, c.base+"/v1/"+method, clientOptions()...)
	a, err := client.CallUnary(ctx, connect.NewRequest(q))
	if err != nil {
		return nil, explained(err)
	}
	return a.Msg, nil
}

// explained tells a node that is not there from a cluster that cannot decide.
func explained(err error) error {
	var remote *connect.Error
	if !errors.As(err, &remote) {
		return err
	}
	switch {
	case remote.Code() != connect.CodeUnavailable:
		return errors.New(remote.Message())
	case connect.IsWireError(err):
		return fmt.Errorf("%w (%s)", ErrNoMajority, remote.Message())
	}
	return fmt.Errorf("no node answers there: %s", remote.Message())
}
