package transport

import (
	"io"
	"math"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// restoreRate is how many bytes of state a follower restores in a second at
// least, as far as the patience of who sends a snapshot goes.
const restoreRate = 4 << 20

// Standing is what is sent in place of a snapshot that the follower has fetched
// beforehand.
type Standing interface {
	io.Reader
	// StandsFor is how many bytes the follower installs for it.
	StandsFor() int64
}

// InstallSnapshot implements raft.Transport. Raft tries again as it does with
// appends, so a snapshot that fails is held like one; data is let go meanwhile,
// since it pins what the state deletes.
func (t *Transport) InstallSnapshot(id raft.ServerID, target raft.ServerAddress, args *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader) error {
	t.contacts.acts(args.Term)
	sent, err := t.o.Send(id, args, data)
	if err == nil {
		err = t.mute(args.Term)
	}
	if err == nil {
		err = t.install(id, target, args, resp, sent)
	}
	for _, r := range []io.Reader{sent, data} {
		if c, ok := r.(io.Closer); ok {
			_ = c.Close()
		}
	}
	if err != nil {
		t.hold(id, args.Term)
		return err
	}
	t.contacts.answered(id)
	return nil
}

// install sends a snapshot and waits for the answer, which comes when the
// follower has restored it. Raft's transport scales its patience by what goes
// over the wire: for a manifest that is next to nothing, and a leader that gives
// up too early would have everything fetched once more.
func (t *Transport) install(id raft.ServerID, target raft.ServerAddress, args *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, sent io.Reader) error {
	standing, ok := sent.(Standing)
	if !ok {
		return t.NetworkTransport.InstallSnapshot(id, target, args, resp, sent)
	}
	dials := &dialer{StreamLayer: t.o.Stream, done: make(chan struct{})}
	dials.close = sync.OnceFunc(func() { close(dials.done) })
	patient := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Logger:  t.o.Log,
		Stream:  dials,
		MaxPool: 1,
		Timeout: patience(standing.StandsFor()),
	})
	patient.TimeoutScale = math.MaxInt // nothing is added for the manifest's length
	defer func() { _ = patient.Close() }()
	return patient.InstallSnapshot(id, target, args, resp, sent)
}

// patience is how long a follower may take to restore so many bytes.
func patience(size int64) time.Duration {
	return Timeout + time.Duration(size/restoreRate)*time.Second
}

// dialer is a stream layer that only dials; closing it leaves the other open.
type dialer struct {
	raft.StreamLayer
	done  chan struct{}
	close func()
}

// Accept implements net.Listener.
func (d *dialer) Accept() (net.Conn, error) {
	<-d.done
	return nil, net.ErrClosed
}

// Close implements net.Listener.
func (d *dialer) Close() error {
	d.close()
	return nil
}

// settled answers a snapshot whose last entry this replica holds already, in
// its log or as its own snapshot: it has everything up to there. Raft would
// install it over what came after, and forget that. It comes when a leader has
// missed an answer, or from a goroutine of the leader's that has outlived the
// replica's removal and return within one term.
func (t *Transport) settled(rpc raft.RPC) bool {
	req, ok := rpc.Command.(*raft.InstallSnapshotRequest)
	if !ok || req.Term != t.o.Term() || !t.o.Holds(req.LastLogIndex, req.LastLogTerm) {
		return false
	}
	t.relay.Go(func() {
		_, err := io.Copy(io.Discard, rpc.Reader)
		rpc.Respond(&raft.InstallSnapshotResponse{RPCHeader: t.header(), Term: req.Term, Success: err == nil}, err)
	})
	return true
}
