package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/raft"

	"quorumta/cluster/group"
)

const (
	// pingInterval is how often each member is asked how it is, pingTimeout
	// how long it may take, aliveFor how long an answer counts.
	pingInterval = 500 * time.Millisecond
	pingTimeout  = time.Second
	aliveFor     = 2 * time.Second

	methodPing     = "cluster.ping"
	methodStanding = "cluster.standing"
)

// report is what a node tells the others about itself.
type report struct {
	Boot     uint64                    `json:"boot"`
	Version  string                    `json:"version"`
	Free     uint64                    `json:"free"`
	Slow     bool                      `json:"slow"`
	Draining bool                      `json:"draining"`
	Shards   map[ShardID]replicaReport `json:"shards"`
}

// replicaReport is what a node tells about its replica of a shard.
type replicaReport struct {
	Term    uint64 `json:"term"`
	Applied uint64 `json:"applied"`
	Leads   bool   `json:"leads"`
	Stopped bool   `json:"stopped"`
}

// peers knows how the other members are.
type peers struct {
	node *Node

	mu     sync.Mutex // guards the rest
	others map[string]*peer
}

// peer is what is known of one member.
type peer struct {
	asking   bool
	answered time.Time // the newest answer
	since    time.Time // answers without a gap
	report   report
}

var _ group.Peers = (*peers)(nil)

func newPeers(n *Node) *peers {
	p := &peers{node: n, others: map[string]*peer{}}
	for name := range n.o.Members {
		if name != n.o.Name {
			p.others[name] = &peer{}
		}
	}
	return p
}

// run asks the others how they are until ctx ends.
func (p *peers) run(ctx context.Context) {
	var asking sync.WaitGroup
	defer asking.Wait()
	every(ctx, pingInterval, func(ctx context.Context) {
		for name := range p.others {
			if p.begin(name) {
				asking.Go(func() { p.ask(ctx, name) })
			}
		}
	})
}

// begin reports whether the member is not being asked already.
func (p *peers) begin(name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.others[name].asking {
		return false
	}
	p.others[name].asking = true
	return true
}

func (p *peers) ask(ctx context.Context, name string) {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	answer, err := p.node.Call(ctx, name, methodPing, nil)
	var r report
	if err == nil {
		err = json.Unmarshal(answer, &r)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.others[name]
	o.asking = false
	if err != nil {
		if errors.Is(err, syscall.ECONNREFUSED) {
			o.answered = time.Time{} // its process is gone
		}
		return
	}
	now := time.Now()
	if now.Sub(o.answered) > aliveFor || o.report.Boot != r.Boot {
		o.since = now
	}
	o.answered, o.report = now, r
}

// get is what is known of a member; alive means that it answered lately.
func (p *peers) get(name string) (o peer, alive bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if known := p.others[name]; known != nil {
		o = *known
	}
	return o, !o.answered.IsZero() && time.Since(o.answered) < aliveFor
}

// mostAreSlow reports whether a majority of the members has slow disks.
func (p *peers) mostAreSlow() bool {
	slow := 0
	if p.node.slow.Load() {
		slow++
	}
	for name := range p.others {
		if o, alive := p.get(name); alive && o.report.Slow {
			slow++
		}
	}
	return slow > (len(p.others)+1)/2
}

// someTake reports whether any other member is alive and takes leads.
func (p *peers) someTake() bool {
	for name := range p.others {
		if o, alive := p.get(name); alive && !o.report.Draining {
			return true
		}
	}
	return false
}

// Refused implements group.Peers.
func (p *peers) Refused(ctx context.Context, id raft.ServerID) bool {
	err := p.node.port.Probe(ctx, nameOf(id))
	return errors.Is(err, syscall.ECONNREFUSED)
}

// standingRequest asks for a group.Standing.
type standingRequest struct {
	Shard ShardID       `json:"shard"`
	Dead  raft.ServerID `json:"dead"`
}

// Standing implements group.Peers.
func (p *peers) Standing(ctx context.Context, id raft.ServerID, shard uint16, dead raft.ServerID) (s group.Standing, err error) {
	err = p.node.ask(ctx, nameOf(id), methodStanding, standingRequest{shard, dead}, &s)
	return s, err
}

// ask calls a method whose request and answer are JSON.
func (n *Node) ask(ctx context.Context, node, method string, request, answer any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	if body, err = n.Call(ctx, node, method, body); err != nil {
		return err
	}
	return json.Unmarshal(body, answer)
}

// answering makes a handler of a function whose request and answer are JSON.
func answering[Request, Answer any](f func(context.Context, Request) (Answer, error)) Handler {
	return func(ctx context.Context, _ string, body []byte) ([]byte, error) {
		var request Request
		if len(body) > 0 {
			if err := json.Unmarshal(body, &request); err != nil {
				return nil, fmt.Errorf("bad request: %w", err)
			}
		}
		answer, err := f(ctx, request)
		if err != nil {
			return nil, err
		}
		return json.Marshal(answer)
	}
}

// handleOwn installs the handlers of this package.
func (n *Node) handleOwn() {
	n.Handle(methodPing, answering(func(context.Context, struct{}) (report, error) { return n.report(), nil }))
	n.Handle(methodStanding, answering(func(ctx context.Context, r standingRequest) (group.Standing, error) {
		g, err := n.group(r.Shard)
		if err != nil {
			return group.Standing{}, err
		}
		return g.Standing(ctx, r.Dead), nil
	}))
	n.Handle(methodTransfer, answering(n.transferHere))
	n.Handle(methodNotice, answering(func(_ context.Context, shard ShardID) (struct{}, error) {
		n.moves.note(shard)
		return struct{}{}, nil
	}))
	n.Handle(methodDigest, answering(n.digestHere))
	n.Handle(methodDigestAt, answering(n.digestAt))
}

// report is this node's.
func (n *Node) report() report {
	r := report{
		Boot:     n.boot,
		Version:  n.o.Version,
		Free:     n.free(),
		Slow:     n.slow.Load(),
		Draining: n.draining.Load(),
		Shards:   map[ShardID]replicaReport{},
	}
	for i, g := range n.groups {
		s := g.Status()
		r.Shards[ShardID(i+1)] = replicaReport{Term: s.Term, Applied: s.Applied, Leads: s.Leads, Stopped: s.Stopped != ""}
	}
	return r
}

// nameOf is the name in a Raft id.
func nameOf(id raft.ServerID) string {
	name, _, _ := strings.Cut(string(id), "/")
	return name
}
