package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"quorumta/cluster"
	"quorumta/delivery"
	"quorumta/internal/admin"
	"quorumta/internal/config"
	"quorumta/internal/telemetry"
	"quorumta/queue"
	"quorumta/smtp"
)

// node is one node, wired and not yet running.
type node struct {
	file      *config.File
	version   string
	telemetry *telemetry.Telemetry
	log       *slog.Logger
	cluster   *cluster.Node
	queue     *queue.Queue
	smtp      *smtp.Server
	delivery  *delivery.Deliverer
	admin     *admin.Server
	adminTo   admin.Options
	inside    *certificate
	ca        [sha256.Size]byte // of the certificate of the cluster's CA
	live
	farewell
}

// farewell is how far a node is on its way out.
type farewell struct {
	// drain is sent to to begin draining; draining tells /readyz. quieted: this
	// node takes no mail any more, and may leave the cluster.
	drain    chan struct{}
	draining atomic.Bool
	quieted  atomic.Bool
	quieting sync.Mutex // held while listeners close
}

// Bounds of the steps of a drain.
const (
	sessionsBound = 30 * time.Second // open transactions finish
	leadsBound    = 15 * time.Second // leads are handed over
	goodbyeBound  = 5 * time.Second  // traces and metrics are sent
)

// runNode runs the node of a configuration until ctx ends or it is asked to
// drain; it drains then, and returns nil. Each value from reload has the
// configuration read again. It fails when the node cannot start or one of its
// rooms breaks.
func runNode(ctx context.Context, f *config.File, version string, reload <-chan os.Signal) error {
	n := &node{file: f, version: version, farewell: farewell{drain: make(chan struct{}, 1)}}
	n.loudness.Set(logLevel(f.Log.Level))
	t, err := telemetry.Start(ctx, telemetry.Options{
		Service: "quorumta", Version: version, Node: f.Node,
		LogFormat: f.Log.Format, LogLevel: &n.loudness,
	})
	if err != nil {
		return err
	}
	n.telemetry, n.log = t, t.Log()
	t.Install()
	defer func() {
		bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbyeBound)
		defer cancel()
		if err := t.Shutdown(bye); err != nil {
			t.Log().Warn("not all telemetry was delivered", "error", err)
		}
	}()
	if err := n.wire(); err != nil {
		if n.cluster != nil {
			err = errors.Join(err, n.cluster.Close())
		}
		return err
	}
	n.cluster.Depart(n.quieten)
	err = n.run(ctx, reload)
	return errors.Join(err, n.cluster.Close())
}

// room is a part of the node that runs until its context ends.
type room struct {
	cancel context.CancelFunc
	ended  chan struct{}
	err    error // read after ended
}

// start runs f; a room that ends on its own account ends the node.
func start(ctx context.Context, broken chan<- error, name string, f func(context.Context) error) *room {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r := &room{cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(r.ended)
		r.err = f(ctx)
		if r.err != nil && ctx.Err() == nil {
			select {
			case broken <- fmt.Errorf("%s: %w", name, r.err):
			default: // one reason is enough
			}
		}
	}()
	return r
}

// stop ends the room and returns when nothing of it is running.
func (r *room) stop() {
	r.cancel()
	<-r.ended
}

// run runs the rooms, inner ones first, and ends them, outer ones first.
func (n *node) run(ctx context.Context, reload <-chan os.Signal) error {
	broken := make(chan error, 1)
	metrics, err := n.listenMetrics()
	if err != nil {
		return err
	}
	cluster := start(ctx, broken, "cluster", n.cluster.Run)
	queue := start(ctx, broken, "queue", n.queue.Run)
	deliver := start(ctx, broken, "delivery", n.delivery.Run)
	secure := start(ctx, broken, "tls policies", n.security.Run)
	receive := start(ctx, broken, "smtp", n.smtp.Run)
	steer := start(ctx, broken, "admin", func(ctx context.Context) error { return n.admin.Serve(ctx, n.adminTo) })
	watch := start(ctx, broken, "metrics", func(ctx context.Context) error {
		if metrics == nil {
			<-ctx.Done()
			return nil
		}
		return n.telemetry.Serve(ctx, metrics, n.ready)
	})
	n.log.Info("node started", "version", n.version, "cluster", n.cluster.ClusterID(), "listeners", fmt.Sprint(n.smtp.Addresses()))
	err = n.wait(ctx, broken, reload)
	if err == nil {
		n.bow(ctx, deliver)
	}
	receive.stop()
	deliver.stop()
	secure.stop()
	queue.stop()
	cluster.stop()
	steer.stop()
	n.resolver.Close()
	watch.stop()
	n.log.Info("node stopped")
	return err
}

// wait returns nil when the node is to drain, or why it cannot go on.
func (n *node) wait(ctx context.Context, broken <-chan error, reload <-chan os.Signal) error {
	expiry := time.NewTicker(24 * time.Hour)
	defer expiry.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-n.drain:
			return nil
		case err := <-broken:
			if errors.Is(err, cluster.ErrRemoved) && n.quieted.Load() {
				n.log.Info("this node has left the cluster, and ends", "reason", err)
				return nil
			}
			n.log.Error("the node cannot go on", "error", err)
			return err
		case <-reload:
			n.reload()
		case <-expiry.C:
			n.warnExpiry()
		}
	}
}

// quieten has balancers look away, and then takes no mail any more: open
// transactions finish, sessions end between them. It returns when no session is
// left. There is no way back but a restart.
func (n *node) quieten(ctx context.Context) error {
	n.quieting.Lock()
	defer n.quieting.Unlock()
	if n.quieted.Load() {
		return nil
	}
	n.draining.Store(true)
	grace := time.NewTimer(time.Duration(n.grace.Load()))
	defer grace.Stop()
	<-grace.C

	sessions, cancel := context.WithTimeout(ctx, sessionsBound)
	defer cancel()
	err := n.smtp.Drain(sessions)
	n.quieted.Store(true)
	return err
}

// bow takes leave in the order that costs nothing: balancers look away, no
// more sessions, no more claims, leads handed over.
func (n *node) bow(ctx context.Context, deliver *room) {
	ctx = context.WithoutCancel(ctx)
	n.log.Info("draining", "grace", time.Duration(n.grace.Load()).String())
	if err := n.quieten(ctx); err != nil {
		n.log.Warn("sessions were cut off", "error", err)
	}
	deliver.stop()
	leads, cancel := context.WithTimeout(ctx, leadsBound)
	defer cancel()
	if err := n.cluster.Drain(leads); err != nil {
		n.log.Warn("not every lead was handed over: the others elect", "error", err)
	}
}

// beginDrain has the node drain; it returns at once.
func (n *node) beginDrain() {
	select {
	case n.drain <- struct{}{}:
	default: // it was asked before
	}
}

// ready is the answer of /readyz.
func (n *node) ready() error {
	switch {
	case n.draining.Load():
		return errors.New("draining")
	case !n.cluster.Healthy():
		return errors.New("the disk is slow or has failed")
	}
	return n.queue.Ready()
}

// fatal ends the process: the disk has failed, and nothing that is on it or in
// memory may be acknowledged any more. Listeners go first, for a process with
// a thread stuck in the kernel keeps them open.
func (n *node) fatal(err error) {
	n.log.Error("the node stops: its storage cannot be trusted", "error", err)
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if n.smtp != nil {
			_ = n.smtp.Drain(gone)
		}
		bye, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = n.telemetry.Flush(bye)
	}()
	late := time.NewTimer(2 * time.Second)
	defer late.Stop()
	select {
	case <-done:
	case <-late.C:
	}
	os.Exit(1)
}

func (n *node) listenMetrics() (net.Listener, error) {
	if n.file.Admin.Metrics == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", n.file.Admin.Metrics)
	if err != nil {
		return nil, fmt.Errorf("listen for /metrics: %w", err)
	}
	return l, nil
}

func logLevel(name string) slog.Level {
	return map[string]slog.Level{"debug": slog.LevelDebug, "warn": slog.LevelWarn, "error": slog.LevelError}[name]
}
