package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"connectrpc.com/connect"

	"quorumta/cluster"
	"quorumta/internal/admin/api"
	"quorumta/internal/mail"
	"quorumta/queue"
	"quorumta/queue/event"
	"quorumta/queue/state"
)

// callDrain is the call between nodes by which any node passes on a drain.
const callDrain = "admin.drain"

// most is the longest page of a list.
const most = 1000

// Server answers the API.
type Server struct {
	node  *cluster.Node
	queue *queue.Queue
	drain func()

	ca     [32]byte
	backup Backup
	// explain is nil where nobody knows.
	explain Explainer
	sites   Sites
}

// NewServer makes the server of a node that has not been run yet: it handles
// one of the node's calls. drain begins this node's drain and returns at once.
func NewServer(node *cluster.Node, q *queue.Queue, drain func()) *Server {
	s := &Server{node: node, queue: q, drain: drain}
	node.Handle(callDrain, func(context.Context, string, []byte) ([]byte, error) {
		s.drain()
		return nil, nil
	})
	return s
}

// Explainer says of the recipients of an open message, by their numbers, why they
// wait, and where their mail goes if that is asked for. What it does not know it
// leaves out.
type Explainer func(ctx context.Context, id mail.MessageID, routes bool) map[uint32]Explained

// Explained is what an Explainer says of a recipient.
type Explained struct {
	Waits *api.Waits
	Route json.RawMessage
}

// Explain has messages that are shown explained. It is called before Serve.
func (s *Server) Explain(by Explainer) { s.explain = by }

// Handler is the API, all below /v1/.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	unary(mux, "ClusterStatus", s.status)
	unary(mux, "ClusterDigest", s.digest)
	unary(mux, "ClusterDrain", s.drainNode)
	unary(mux, "ClusterTransfer", s.transfer)
	unary(mux, "ClusterToken", s.token)
	unary(mux, "ClusterRemove", s.remove)
	unary(mux, "ClusterShards", s.shards)
	unary(mux, "ClusterUpgradeStatus", s.upgrade)
	unary(mux, "ClusterUpgradeFinish", s.finishUpgrade)
	unary(mux, "ClusterSkip", s.skip)
	mux.Handle("/v1/ClusterBackup", connect.NewServerStreamHandler("/v1/ClusterBackup", s.backUp, api.ServerOptions()...))
	unary(mux, "QueueList", s.list)
	unary(mux, "QueueCount", s.count)
	unary(mux, "QueueShow", s.show)
	unary(mux, "QueueAct", s.act)
	unary(mux, "QueueReroute", s.reroute)
	unary(mux, "QueueEdit", s.edit)
	unary(mux, "QueueResume", s.resume)
	unary(mux, "SiteList", s.siteList)
	unary(mux, "SiteOrder", s.siteOrder)
	mux.Handle("/v1/Events", connect.NewServerStreamHandler("/v1/Events", s.events, api.ServerOptions()...))
	return mux
}

// unary adds a method that answers one request with one answer.
func unary[Q, A any](mux *http.ServeMux, method string, f func(context.Context, *Q) (*A, error)) {
	procedure := "/v1/" + method
	mux.Handle(procedure, connect.NewUnaryHandler(procedure,
		func(ctx context.Context, q *connect.Request[Q]) (*connect.Response[A], error) {
			a, err := f(ctx, q.Msg)
			if err != nil {
				return nil, coded(err)
			}
			return connect.NewResponse(a), nil
		}, api.ServerOptions()...))
}

// coded gives an error the code that tells a caller what to do.
func coded(err error) error {
	var already *connect.Error
	code := connect.CodeInternal
	switch {
	case errors.As(err, &already):
		return err
	case errors.Is(err, queue.ErrNotFound):
		code = connect.CodeNotFound
	case errors.Is(err, queue.ErrUnavailable), errors.Is(err, queue.ErrUnsettled), errors.Is(err, queue.ErrDiskFull), errors.Is(err, queue.ErrNoMap), errors.Is(err, queue.ErrNoteHere),
		errors.Is(err, cluster.ErrNotLeader), errors.Is(err, cluster.ErrUnknownOutcome), errors.Is(err, cluster.ErrUnreachable), errors.Is(err, context.DeadlineExceeded):
		code = connect.CodeUnavailable
	case errors.Is(err, queue.ErrStale), errors.Is(err, queue.ErrTooNew), errors.Is(err, queue.ErrRefused):
		code = connect.CodeFailedPrecondition
	}
	return connect.NewError(code, err)
}

func invalid(format string, args ...any) error {
	return connect.NewError(connect.CodeInvalidArgument, fmt.Errorf(format, args...))
}

func (s *Server) digest(ctx context.Context, q *api.DigestRequest) (*api.Digest, error) {
	digests, err := s.node.Digest(ctx, q.Deep)
	if err != nil {
		return nil, err
	}
	out := &api.Digest{Shards: []api.ShardDigest{}}
	for _, d := range digests {
		shard := api.ShardDigest{ID: d.ID}
		for _, r := range d.Replicas {
			shard.Replicas = append(shard.Replicas, api.ReplicaDigest{
				Node: r.Node, Applied: r.Applied, Chain: r.Chain, SHA256: r.SHA256, Error: r.Error,
			})
		}
		out.Shards = append(out.Shards, shard)
	}
	return out, nil
}

func (s *Server) drainNode(ctx context.Context, q *api.DrainRequest) (*api.Done, error) {
	member := func(n cluster.NodeStatus) bool { return n.Name == q.Node }
	if !slices.ContainsFunc(s.node.Nodes(), member) {
		return nil, invalid("%q is no member; cluster status names them", q.Node)
	}
	if _, err := s.node.Call(ctx, q.Node, callDrain, nil); err != nil {
		return nil, fmt.Errorf("drain %s: %w", q.Node, err)
	}
	return &api.Done{}, nil
}

func (s *Server) transfer(ctx context.Context, q *api.TransferRequest) (*api.Done, error) {
	if err := s.node.Transfer(ctx, q.Shard, q.Node); err != nil {
		return nil, fmt.Errorf("hand shard %d to %s: %w", q.Shard, q.Node, err)
	}
	return &api.Done{}, nil
}

func (s *Server) list(ctx context.Context, q *api.ListRequest) (*api.List, error) {
	if q.Limit < 0 || q.Limit > most {
		return nil, invalid("a limit is 1 to %d", most)
	}
	if q.Limit == 0 {
		q.Limit = 100
	}
	page, err := s.queue.List(ctx, queue.Selection(q.Selection), q.Cursor, q.Limit)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	out := &api.List{Messages: []api.Message{}, Cursor: page.Cursor, Stale: page.Stale}
	for _, m := range page.Messages {
		out.Messages = append(out.Messages, message(m, now))
	}
	return out, nil
}

func (s *Server) count(ctx context.Context, _ *struct{}) (*api.Totals, error) {
	t, err := s.queue.Count(ctx)
	out := &api.Totals{
		Total: t.Total, Due: t.Due, Deferred: t.Deferred, Held: t.Held, InFlight: t.InFlight, Restored: t.Restored, Stale: t.Stale,
	}
	for _, why := range t.Suspended {
		out.Suspended = append(out.Suspended, api.Suspension{Shard: why.Shard, At: api.Time{Time: why.At}, By: why.By, Backup: api.Time{Time: why.Backup}})
	}
	return out, err
}

func (s *Server) show(ctx context.Context, q *api.ShowRequest) (*api.Show, error) {
	id, err := mail.ParseMessageID(string(q.ID))
	if err != nil {
		return nil, invalid("%q: %v", q.ID, err)
	}
	m, records, err := s.queue.Show(ctx, id)
	if err != nil {
		return nil, err
	}
	out := &api.Show{History: []api.Event{}}
	if m != nil {
		open := message(m, time.Now())
		if s.explain != nil {
			for n, x := range s.explain(ctx, id, q.Routes) {
				if int(n) < len(open.Recipients) {
					open.Recipients[n].Waits, open.Recipients[n].Route = x.Waits, x.Route
				}
			}
		}
		out.Message = &open
	}
	to := recipients(records)
	for _, r := range records {
		out.History = append(out.History, flatten(r, to)...)
	}
	return out, nil
}

// recipients are a message's, as its history tells them.
func recipients(records []state.Record) []string {
	var to []string
	for _, r := range records {
		switch e := r.Event.(type) {
		case *event.Accepted:
			if e.ID == r.ID {
				to = addresses(e.Envelope)
			}
		case *event.Expanded:
			for _, into := range e.Into {
				to = append(to, called(into))
			}
		case *event.Edited:
			for i := range e.Add {
				to = append(to, e.Add[i].Address.String())
			}
		}
	}
	return to
}

func (s *Server) act(ctx context.Context, q *api.ActRequest) (*api.Done, error) {
	act := queue.Act(q.Act)
	switch act {
	case queue.ActHold, queue.ActRelease, queue.ActRetry, queue.ActRemove, queue.ActResume:
	default:
		return nil, invalid("%q is no act: hold, release, retry, remove and resume are", q.Act)
	}
	by := attributed(ctx, q.By)
	if by == "" {
		return nil, invalid("say by whom: it goes on record")
	}
	if q.ID == "" && q.Selection == (api.Selection{}) && !q.All {
		return nil, invalid("name a message, choose some, or say that all are meant")
	}
	if q.ID == "" {
		n, err := s.queue.OperateAll(ctx, act, queue.Selection(q.Selection), by, q.Why)
		return &api.Done{Count: n}, err
	}
	id, err := mail.ParseMessageID(string(q.ID))
	if err != nil {
		return nil, invalid("%q: %v", q.ID, err)
	}
	if err := s.queue.Operate(ctx, act, id, by, q.Why); err != nil {
		return nil, err
	}
	return &api.Done{Count: 1}, nil
}

func (s *Server) resume(ctx context.Context, q *api.ResumeRequest) (*api.Done, error) {
	by := attributed(ctx, q.By)
	if by == "" {
		return nil, invalid("say by whom: it goes on record")
	}
	return &api.Done{}, s.queue.Resume(ctx, by)
}

func (s *Server) events(ctx context.Context, q *connect.Request[api.EventsRequest], out *connect.ServerStream[api.Event]) error {
	id := q.Msg.ID
	if id != "" {
		parsed, err := mail.ParseMessageID(string(id))
		if err != nil {
			return invalid("%q: %v", id, err)
		}
		id = parsed
	}
	book := addressBook{queue: s.queue, known: map[mail.MessageID][]string{}}
	var broken error
	err := s.queue.Events(ctx, id, q.Msg.Follow, func(r state.Record) bool {
		for _, e := range flatten(r, book.of(ctx, r)) {
			if broken = out.Send(&e); broken != nil {
				return false
			}
		}
		return true
	})
	if broken != nil {
		return broken
	}
	if err != nil && !(q.Msg.Follow && errors.Is(err, context.Canceled)) {
		return coded(err)
	}
	return nil
}

// addressBook knows the recipients of the messages that a stream is about:
// outcomes name them by number.
type addressBook struct {
	queue *queue.Queue
	known map[mail.MessageID][]string
}

// pages is how many messages an address book remembers; then it starts anew.
const pages = 10_000

// of are the recipients of the record's message.
func (b *addressBook) of(ctx context.Context, r state.Record) []string {
	if to, ok := b.known[r.ID]; ok && r.Event.Kind() != event.KindExpanded && r.Event.Kind() != event.KindEdited {
		return to
	}
	if len(b.known) >= pages {
		clear(b.known)
	}
	if e, ok := r.Event.(*event.Accepted); ok && e.ID == r.ID {
		b.known[r.ID] = addresses(e.Envelope)
	} else if _, records, err := b.queue.Show(ctx, r.ID); err == nil {
		b.known[r.ID] = recipients(records)
	}
	return b.known[r.ID]
}
