package floor

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
)

// Node is one of the three processes.
type Node struct {
	// SMTP is where mail is taken, Link where the others send their content,
	// Others are their links, all host:port.
	SMTP, Link string
	Others     []string
	// Log is the file that content is appended to.
	Log string
	// Hop is where mail leaves to; "" means that it is forgotten.
	Hop string
}

// message is one on its way: the envelope's commands and the content with its
// final dot, as they came.
type message struct {
	envelope []byte
	content  []byte
	synced   atomic.Int32
	majority chan struct{} // closed when two logs have it
}

// sync counts one log that has it.
func (m *message) sync() {
	if m.synced.Add(1) == 2 {
		close(m.majority)
	}
}

// Run serves until ctx ends or something fails.
func (n Node) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	log, err := openJournal(n.Log)
	if err != nil {
		return err
	}
	links, err := net.Listen("tcp", n.Link)
	if err != nil {
		return err
	}
	mail, err := net.Listen("tcp", n.SMTP)
	if err != nil {
		return errors.Join(err, links.Close())
	}
	defer context.AfterFunc(ctx, func() { _, _ = links.Close(), mail.Close() })()
	var wg sync.WaitGroup
	defer wg.Wait()
	start := func(f func() error) {
		wg.Go(func() {
			if err := f(); err != nil {
				cancel(err)
			}
		})
	}
	start(func() error { return log.run(ctx) })
	start(func() error { return accept(links, func(nc net.Conn) { follow(ctx, nc, log) }) })
	s := &server{log: log, out: make(chan *message, outside)}
	for _, address := range n.Others {
		l := newLink(address)
		s.links = append(s.links, l)
		start(func() error { return l.run(ctx) })
	}
	for range deliverers {
		start(func() error { return deliver(ctx, n.Hop, s.out) })
	}
	start(func() error { return accept(mail, func(nc net.Conn) { s.serve(ctx, nc) }) })
	<-ctx.Done()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// accept serves every connection until the listener is closed, and waits for
// all.
func accept(l net.Listener, serve func(net.Conn)) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		nc, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		wg.Go(func() { serve(nc) })
	}
}
