package admin

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"time"
)

// Options says where the API listens. An empty address is not listened on.
type Options struct {
	// Socket is a path; it gets mode 0660 and the group quorumta where there
	// is one.
	Socket string
	// Listen is host:port, TLS its configuration: the node's certificate, and
	// client certificates of the cluster's CA required.
	Listen string
	TLS    *tls.Config
	Log    *slog.Logger
}

// Serve answers on the socket and the port until ctx ends.
func (s *Server) Serve(ctx context.Context, o Options) error {
	var listeners []net.Listener
	if o.Socket != "" {
		l, err := listenSocket(o.Socket)
		if err != nil {
			return err
		}
		listeners = append(listeners, l)
	}
	if o.Listen != "" {
		l, err := net.Listen("tcp", o.Listen)
		if err != nil {
			return fmt.Errorf("listen for administration: %w", errors.Join(err, closeAll(listeners)))
		}
		listeners = append(listeners, tls.NewListener(l, o.TLS))
	}
	h := &http.Server{
		Handler: witnessed(s.Handler(), o.Log), ConnContext: withPeer, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 5 * time.Minute,
		ErrorLog: slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
		// Requests end with the server: a stream of events would hold it.
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	ended := make(chan error, len(listeners))
	for _, l := range listeners {
		go func() { ended <- h.Serve(l) }()
	}
	<-ctx.Done()
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if h.Shutdown(closing) != nil {
		_ = h.Close()
	}
	var errs []error
	for range listeners {
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func closeAll(listeners []net.Listener) error {
	var errs []error
	for _, l := range listeners {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

// listenSocket makes the socket, in place of one that a dead process left.
func listenSocket(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("make the folder of the admin socket: %w", err)
	}
	if c, err := net.Dial("unix", path); err == nil {
		_ = c.Close()
		return nil, fmt.Errorf("the admin socket %s is answered by another process: is the node running already?", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove the old admin socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen on the admin socket: %w", err)
	}
	if err := os.Chmod(path, 0o660); err != nil {
		return nil, errors.Join(fmt.Errorf("restrict the admin socket: %w", err), l.Close())
	}
	if g, err := user.LookupGroup("quorumta"); err == nil {
		if gid, err := strconv.Atoi(g.Gid); err == nil {
			_ = os.Chown(path, -1, gid) // only root may; its own user's socket serves as well
		}
	}
	return l, nil
}
