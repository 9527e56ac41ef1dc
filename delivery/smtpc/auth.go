package smtpc

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"

	"quorumta/delivery/smtpc/sasl"
	"quorumta/delivery/transport"
	"quorumta/internal/mail"
)

// maxCommand is the longest command line, with its CRLF (RFC 5321, section
// 4.5.3.1.4): an initial response that does not fit waits until it is asked for
// (RFC 4954, section 4).
const maxCommand = 512

// mostChallenges bounds an exchange.
const mostChallenges = 16

// login is an exchange under way.
type login struct {
	c *Conn
	sasl.Exchange
	// said are our own words; a server that repeats them in its refusal must
	// not make a secret known by it.
	said []string
}

// Auth logs in (RFC 4954) by the best mechanism that both sides know. host is
// the server's, "name:port". The connection is closed when it fails, with an
// *transport.Error of PhaseAuth: who was to log in must not send mail as nobody.
func (c *Conn) Auth(ctx context.Context, who sasl.Login, host string) error {
	c.begin(ctx)
	name, x, err := sasl.Choose(who, c.ext.Auth, c.tls, host)
	if err != nil {
		return c.fail(transport.PhaseAuth, mail.Reply{}, err)
	}
	l := login{c: c, Exchange: x, said: []string{who.Password, who.Token}}
	reply, lines, err := l.open(name)
	for n := 0; err == nil && reply.Code == 334; n++ {
		if n == mostChallenges {
			return c.fail(transport.PhaseAuth, mail.Reply{}, fmt.Errorf("%w: the server asks without end", transport.ErrProtocol))
		}
		reply, lines, err = l.respond(lines[0])
	}
	if err == nil && reply.Positive() {
		if err = x.Done(); err == nil {
			return nil
		}
		reply = mail.Reply{}
	}
	return c.fail(transport.PhaseAuth, l.hushed(reply), err)
}

// open says AUTH, with what the client says first where that fits.
func (l *login) open(name string) (mail.Reply, []string, error) {
	first, err := l.Begin()
	if err != nil {
		return mail.Reply{}, nil, err
	}
	response := base64.StdEncoding.EncodeToString(first)
	command := "AUTH " + name
	switch {
	case first == nil:
		return l.c.askLines(command, l.c.o.Timeouts.Hello)
	case len(first) == 0:
		return l.c.askLines(command+" =", l.c.o.Timeouts.Hello)
	}
	l.said = append(l.said, response)
	if len(command)+len(" ")+len(response)+len("\r\n") <= maxCommand {
		return l.c.askLines(command+" "+response, l.c.o.Timeouts.Hello)
	}
	reply, lines, err := l.c.askLines(command, l.c.o.Timeouts.Hello)
	if err != nil || reply.Code != 334 {
		return reply, lines, err
	}
	return l.c.askLines(response, l.c.o.Timeouts.Hello)
}

// respond answers a challenge, or gives the exchange up (RFC 4954, section 4):
// then what is wrong with the challenge counts, not what the server says of
// that.
func (l *login) respond(challenge string) (mail.Reply, []string, error) {
	decoded, err := base64.StdEncoding.DecodeString(challenge)
	var answer []byte
	if err == nil {
		answer, err = l.Answer(decoded)
	}
	if err != nil {
		_, _ = l.c.ask("*", l.c.o.Timeouts.Hello)
		return mail.Reply{}, nil, err
	}
	response := base64.StdEncoding.EncodeToString(answer)
	l.said = append(l.said, response)
	return l.c.askLines(response, l.c.o.Timeouts.Hello)
}

// hushed is a reply without our own words.
func (l *login) hushed(r mail.Reply) mail.Reply {
	for _, word := range l.said {
		if word != "" {
			r.Text = strings.ReplaceAll(r.Text, word, "…")
		}
	}
	return r
}
