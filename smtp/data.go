package smtp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	gosmtp "github.com/emersion/go-smtp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"

	"quorumta/internal/mail"
	"quorumta/internal/rewrite"
	"quorumta/queue"
)

// piece is how much content is handed on at a time.
const piece = 32 << 10

// loggedRecipients is how many recipients a line of the log names.
const loggedRecipients = 20

// Data implements go-smtp's Session. Success is the reply that names the
// message, as the contract allows.
func (s *session) Data(r io.Reader) error {
	t := s.tx
	buf, _ := s.server.pieces.Get().(*[]byte)
	if buf == nil {
		b := make([]byte, piece)
		buf = &b
	}
	defer s.server.pieces.Put(buf)
	var h header
	s.server.rest(s.conn.Context())
	head, err := readHead(r, *buf, &h)
	s.startTrace(t, h.traceparent)
	if err != nil {
		return s.refused(t, err)
	}
	if h.received > s.server.limits.Load().Received {
		return s.refused(t, looping.reply())
	}
	if err := s.rewriteSender(rewrite.EnvelopeFrom); err != nil {
		return s.refused(t, err)
	}
	if err := s.prioritise(t, head); err != nil {
		return s.refused(t, err)
	}
	id, err := s.store(t, head, r, *buf, &h)
	if err != nil {
		return s.refused(t, err)
	}
	s.accepted(t, id)
	return queued(id)
}

// pieceRest is how long a session waits before each piece while memory is
// short: 128 KiB a second are left of its pace.
const pieceRest = 250 * time.Millisecond

// rest slows a session down while memory is short.
func (s *Server) rest(ctx context.Context) {
	if !s.o.Pressed() {
		return
	}
	timer := time.NewTimer(pieceRest)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// readHead reads until the header is over, the content ends, or buf is full.
func readHead(r io.Reader, buf []byte, h *header) ([]byte, error) {
	n := 0
	for !h.over && len(buf)-n >= 2 {
		m, err := r.Read(buf[n:])
		h.watch(buf[n : n+m])
		n += m
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, reading(err)
		}
	}
	return buf[:n], nil
}

// store streams the content into the queue. head is what has been read of it.
func (s *session) store(t *transaction, head []byte, r io.Reader, buf []byte, h *header) (mail.MessageID, error) {
	at := s.server.o.Now()
	upload, err := s.server.o.Queue.Begin(t.trace.ctx, func(id mail.MessageID) []byte {
		return receivedField(s.server.o.Hostname, s.client, &t.envelope, s.cipher, id, at)
	})
	if err != nil {
		return "", err
	}
	for p := head; ; {
		if _, err := upload.Write(p); err != nil {
			upload.Abort()
			return "", err
		}
		t.size += int64(len(p))
		s.server.rest(t.trace.ctx)
		n, err := r.Read(buf)
		p = buf[:n]
		h.watch(p)
		switch {
		case err == nil && h.received > s.server.limits.Load().Received:
			err = looping.reply()
		case err == io.EOF:
			// RFC 8689, section 4.1: beside REQUIRETLS the field is ignored.
			t.envelope.TLSOptional = !t.envelope.RequireTLS && h.tlsOptional() && s.server.o.Queue.MayWish()
			return upload.Commit(queue.Submission{
				Envelope: t.envelope,
				Client:   s.client,
				HeaderID: h.messageID,
				Subject:  h.subject,
				Trace:    t.trace.event(),
				Rules:    t.rules,
				Release:  t.release,
			})
		}
		if err != nil {
			upload.Abort()
			return "", reading(err)
		}
	}
}

// errCutOff: the client went away, or gave the message up.
var errCutOff = errors.New("the content did not come to its end")

// reading is an error of the content's reader: a reply, or errCutOff.
func reading(err error) error {
	var told *gosmtp.SMTPError
	if errors.As(err, &told) {
		return told
	}
	return fmt.Errorf("%w: %w", errCutOff, err)
}

// refused notes why a message is not taken and returns what the client is
// told. What is no reply is the queue's failure, or the connection's.
func (s *session) refused(t *transaction, err error) error {
	var told *gosmtp.SMTPError
	reason := "content"
	if !errors.As(err, &told) {
		told, reason = queueReply(err), "unavailable"
		if errors.Is(err, errCutOff) {
			reason = "cut_off"
		}
		s.server.o.Log.WarnContext(t.trace.ctx, "not accepted", "client", s.client.IP,
			"from", t.envelope.From.String(), "error", err)
	}
	t.trace.span.SetStatus(codes.Error, told.Message)
	s.server.metrics.refusedFor(t.trace.ctx, reason)
	return told
}

// accepted writes the line of the log.
func (s *session) accepted(t *transaction, id mail.MessageID) {
	t.accepted = true
	t.trace.named(id)
	attrs := []slog.Attr{
		slog.String("id", string(id)),
		slog.String("from", t.envelope.From.String()),
		slog.String("to", listed(t.envelope.Recipients)),
		slog.Int("recipients", len(t.envelope.Recipients)),
		slog.String("client", s.client.IP),
		slog.String("helo", s.client.Helo),
		slog.String("protocol", s.client.Protocol),
		slog.String("tls", s.client.TLS),
		slog.Int64("size", t.size),
		slog.Int("shard", int(id.Shard())),
		slog.String("rule", strings.Join(t.rules, ",")),
	}
	if t.given != t.envelope.From {
		attrs = append(attrs, slog.String("from_given", t.given.String()))
		t.trace.span.SetAttributes(attribute.String("smtp.from.given", t.given.String()))
	}
	if !t.release.IsZero() {
		attrs = append(attrs, slog.Time("release", t.release.UTC()))
	}
	if c := t.trace.span.SpanContext(); c.HasTraceID() {
		attrs = append(attrs, slog.String("trace", c.TraceID().String()))
	}
	s.server.o.Log.LogAttrs(context.WithoutCancel(t.trace.ctx), slog.LevelInfo, "accepted", attrs...)
}

// listed names the first recipients.
func listed(recipients []mail.Recipient) string {
	var b strings.Builder
	for i, r := range recipients[:min(len(recipients), loggedRecipients)] {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(r.Address.String())
	}
	return b.String()
}
