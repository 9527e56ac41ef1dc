package smtp

import (
	"errors"
	"net/netip"
	"strings"
	"time"

	gosmtp "github.com/emersion/go-smtp"

	"quorumta/internal/mail"
	"quorumta/internal/mailauth/returnpath"
	"quorumta/internal/policy"
	"quorumta/internal/rewrite"
	"quorumta/queue/event"
	"quorumta/smtp/wire"
)

// session answers one client from one EHLO to the next, as go-smtp's contract
// has it: it is called from the connection's goroutine alone.
type session struct {
	server   *Server
	conn     *wire.Conn
	client   event.Client
	addr     netip.Addr
	extended bool
	cipher   string
	tx       *transaction // nil outside of one
}

// transaction is one mail transaction, from MAIL on.
type transaction struct {
	envelope  mail.Envelope
	announced int64     // SIZE
	release   time.Time // HOLDFOR, HOLDUNTIL; zero: at once
	policy    *Policy
	rules     []string
	// given is the sender as the client has said it, and named are the recipients
	// where rules may make two the same: whether one was rewritten.
	given    mail.Address
	named    map[wanted]bool
	began    time.Time
	verdicts []verdict
	trace    *traced // nil until the header is known
	accepted bool
	size     int64
}

func newSession(s *Server, listener string, c *wire.Conn, addr netip.Addr) *session {
	helo, extended := c.Helo()
	ip := ""
	if addr.IsValid() {
		ip = addr.String()
	}
	both, cipher := tlsNames(c.TLS())
	return &session{
		server: s,
		conn:   c,
		client: event.Client{
			IP:       ip,
			Name:     s.o.Reverse(c.Context(), addr),
			Helo:     helo,
			Listener: listener,
			TLS:      both,
		},
		addr:     addr,
		extended: extended,
		cipher:   cipher,
	}
}

// Mail implements go-smtp's Session.
func (s *session) Mail(from string, opts *gosmtp.MailOptions) error {
	if err := s.server.o.Queue.Ready(); err != nil {
		s.server.metrics.refusedFor(s.conn.Context(), "unavailable")
		return queueReply(err)
	}
	sender, err := mail.ParseAddress(from)
	if err != nil || !sender.IsNull() && sender.Domain == "" {
		s.server.metrics.refusedFor(s.conn.Context(), "syntax")
		return badSender.reply()
	}
	s.client.Protocol = protocolName(s.extended, opts.UTF8, s.client.TLS != "")
	s.tx = &transaction{
		envelope: mail.Envelope{
			From:     sender,
			Return:   returnOf(opts.Return),
			EnvID:    opts.EnvelopeID,
			EightBit: opts.Body == gosmtp.Body8BitMIME,
			UTF8:     opts.UTF8,
			// RFC 8689, section 4.1: to be kept for as long as the message.
			RequireTLS: opts.RequireTLS,
			Priority:   s.conn.Wishes().Priority,
		},
		given:     sender,
		announced: opts.Size,
		release:   s.conn.Wishes().Release,
		policy:    s.server.policy.Load(),
		began:     s.server.o.Now(),
	}
	if err := s.rewriteSender(rewrite.SMTP); err != nil {
		s.tx = nil
		return err
	}
	return nil
}

// Rcpt implements go-smtp's Session.
func (s *session) Rcpt(to string, opts *gosmtp.RcptOptions) error {
	address, err := mail.ParseAddress(to)
	if err != nil || address.IsNull() {
		s.server.metrics.refusedFor(s.conn.Context(), "syntax")
		return badRecipient.reply()
	}
	recipient := mail.Recipient{Address: address, Notify: notifyOf(opts.Notify)}
	if opts.OriginalRecipient != "" {
		recipient.Original = strings.ToLower(string(opts.OriginalRecipientType)) + ";" + opts.OriginalRecipient
	}
	rule := "postmaster"
	if s.isPostmaster(address) {
		// RFC 5321, section 4.5.1: always taken, whatever the policy.
		recipient.Address = s.server.o.Postmaster
	} else {
		var err error
		known := len(s.tx.rules)
		if rule, err = s.take(&recipient); err != nil {
			s.tx.rules = s.tx.rules[:known] // nothing was decided
			return err
		}
	}
	if !s.tx.again(&recipient, address) {
		s.tx.envelope.Recipients = append(s.tx.envelope.Recipients, recipient)
	}
	s.tx.addRule(rule)
	return nil
}

func (s *session) isPostmaster(a mail.Address) bool {
	return strings.EqualFold(a.Local, "postmaster") &&
		(a.Domain == "" || strings.EqualFold(a.Domain, s.server.o.Hostname))
}

// take decides about a recipient and returns the name of the rule that accepts
// it, or what the client is told. One that is a reverse-path of ours becomes the
// address that this stands for; the original recipient (RFC 3461, section 4.2)
// keeps what the client has said.
func (s *session) take(r *mail.Recipient) (string, error) {
	if err := s.rewriteRecipient(r, rewrite.SMTP); err != nil {
		return "", err
	}
	facts := s.facts(r.Address)
	to, accepted, err := s.tx.policy.Returns.In(facts, s.server.o.Now())
	if err != nil {
		return "", s.notReturned(r.Address, err)
	}
	if to != r.Address {
		if r.Original == "" {
			r.Original = "rfc822;" + r.Address.String()
		}
		r.Address, facts.Rcpt = to, to
	}
	rule := "srs"
	if !accepted {
		if rule, err = s.decide(facts); err != nil {
			return "", err
		}
	}
	return rule, s.rewriteRecipient(r, rewrite.EnvelopeTo)
}

// notReturned is what a client is told whose recipient is no reverse-path of
// ours, though it looks like one, or ought to be.
func (s *session) notReturned(to mail.Address, err error) error {
	reply := policyFailed.reply()
	switch {
	case errors.Is(err, returnpath.ErrForged):
		reply = forged.reply()
	case errors.Is(err, returnpath.ErrBackscatter):
		reply = backscatter.reply()
	default:
		s.server.o.Log.Error("policy failed", "stage", "rcpt", "error", err)
		s.server.metrics.refusedFor(s.conn.Context(), "policy_error")
		return reply
	}
	s.server.metrics.refusedFor(s.conn.Context(), "return_path")
	s.server.o.Log.Info("refused", "stage", "rcpt", "client", s.client.IP, "helo", s.client.Helo,
		"from", s.tx.envelope.From.String(), "to", to.String(), "reply", reply.Message)
	return reply
}

// facts are what the policy may know of a recipient.
func (s *session) facts(rcpt mail.Address) *policy.Facts {
	return &policy.Facts{
		ClientIP:   s.addr,
		ClientName: s.client.Name,
		Helo:       s.client.Helo,
		Login:      s.client.Login,
		TLS:        s.client.TLS != "",
		Listener:   s.client.Listener,
		Sender:     s.tx.envelope.From,
		Rcpt:       rcpt,
		Size:       s.tx.announced,
		Recipients: len(s.tx.envelope.Recipients),
	}
}

// decide asks the stage rcpt and returns the name of the rule that accepts, or
// what the client is told.
func (s *session) decide(facts *policy.Facts) (string, error) {
	began := s.server.o.Now()
	decision, err := policy.Decide(s.tx.policy.Rcpt, facts)
	s.tx.note(verdict{rule: decision.Rule, do: decision.Do, err: err, began: began, ended: s.server.o.Now()})
	if err != nil {
		s.server.o.Log.Error("policy failed", "stage", "rcpt", "error", err)
		s.server.metrics.refusedFor(s.conn.Context(), "policy_error")
		return "", policyFailed.reply()
	}
	if decision.Do == policy.Accept {
		return decision.Rule, nil
	}
	s.server.metrics.refusedFor(s.conn.Context(), "policy")
	s.server.o.Log.Info("refused", "stage", "rcpt", "client", s.client.IP, "helo", s.client.Helo,
		"from", s.tx.envelope.From.String(), "to", facts.Rcpt.String(),
		"rule", decision.Rule, "reply", decision.Reply.String())
	return "", decided(decision.Reply)
}

// addRule notes the name of a rule that accepted, once.
func (t *transaction) addRule(name string) {
	for _, have := range t.rules {
		if have == name {
			return
		}
	}
	t.rules = append(t.rules, name)
}

// Reset implements go-smtp's Session: the transaction is over.
func (s *session) Reset() {
	if s.tx == nil {
		return
	}
	t := s.tx
	s.tx = nil
	if t.trace == nil {
		s.startTrace(t, "")
	}
	took := s.server.o.Now().Sub(t.began)
	s.server.metrics.transaction(t.trace.ctx, took, t.accepted, t.size)
	t.trace.span.End()
}

// Logout implements go-smtp's Session.
func (s *session) Logout() error {
	s.Reset()
	return nil
}

func returnOf(r gosmtp.DSNReturn) mail.Return {
	switch r {
	case gosmtp.DSNReturnFull:
		return mail.ReturnFull
	case gosmtp.DSNReturnHeaders:
		return mail.ReturnHeaders
	}
	return mail.ReturnUnset
}

func notifyOf(list []gosmtp.DSNNotify) mail.Notify {
	var n mail.Notify
	for _, word := range list {
		switch word {
		case gosmtp.DSNNotifyNever:
			n |= mail.NotifyNever
		case gosmtp.DSNNotifySuccess:
			n |= mail.NotifySuccess
		case gosmtp.DSNNotifyFailure:
			n |= mail.NotifyFailure
		case gosmtp.DSNNotifyDelayed:
			n |= mail.NotifyDelay
		}
	}
	return n
}
