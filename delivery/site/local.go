package site

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"quorumta/delivery/transport"
)

// local is what carries messages without hosts.
type local struct {
	transport.Conn
	site *Site
}

// Leave implements transport.Conn.
func (c *local) Leave(ctx context.Context) {
	c.Conn.Leave(ctx)
	c.site.left()
}

// openLocal is Connect for a transport that needs no hosts.
func (s *Site) openLocal(ctx context.Context, name string, how transport.Opener) (transport.Conn, *Failure) {
	ctx, span := s.set.o.Tracer.Start(ctx, "connect", trace.WithAttributes(attribute.String("quorumta.transport", name)))
	defer span.End()
	conn, err := how.Open(ctx)
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
		return nil, sessionFailure("", "", err)
	}
	s.connected()
	return &local{Conn: conn, site: s}, nil
}
