package lmtp_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"quorumta/delivery/smtpc"
	"quorumta/delivery/transport"
	"quorumta/delivery/transport/lmtp"
	"quorumta/internal/mail"
	"quorumta/smtp/smtptest"
)

func message(content string, to ...string) *transport.Message {
	m := &transport.Message{
		From: mail.Address{Local: "me", Domain: "us.example"},
		Size: int64(len(content)), Content: strings.NewReader(content),
	}
	for _, a := range to {
		local, domain, _ := strings.Cut(a, "@")
		m.Recipients = append(m.Recipients, mail.Recipient{Address: mail.Address{Local: local, Domain: domain}})
	}
	return m
}

// TestDovecot: Dovecot takes mail at its socket and at its port, refuses each
// recipient by itself, before the dot and after it, takes what is large by BDAT,
// and several messages over one connection. What it took is read by IMAP and by
// POP3.
func TestDovecot(t *testing.T) {
	d := smtptest.DovecotMailboxes(t, "anna@them.example", "full@them.example bytes=2000", "otto@them.example")
	d.Start(t)
	large := "Subject: large\r\n\r\n" + strings.Repeat("0123456789abcdef\r\n", 20_000)
	small := "Subject: small\r\n\r\n.a line with a dot\r\n" + strings.Repeat("more\r\n", 1000)
	for name, open := range map[string]func() (transport.Conn, error){
		"socket": func() (transport.Conn, error) {
			return lmtp.New(lmtp.Options{Socket: d.Socket, SMTP: smtpc.Options{Hostname: "us.example"}}).Open(t.Context())
		},
		"port": func() (transport.Conn, error) { return overTCP(t.Context(), d.Address) },
	} {
		conn, err := open()
		if err != nil {
			t.Fatal(name, err)
		}
		for _, c := range []struct {
			content string
			want    string
		}{{small, "250 550 552 250"}, {large, "250 550 552 250"}} {
			res, err := conn.Send(t.Context(), message(c.content, "anna@them.example", "nobody@them.example", "full@them.example", "otto@them.example"))
			var codes []string
			for i, rcpt := range res.Rcpts {
				if !rcpt.Positive() {
					codes = append(codes, fmt.Sprint(rcpt.Code))
					continue
				}
				codes = append(codes, fmt.Sprint(res.FinalOf(i).Code))
			}
			if got := strings.Join(codes, " "); err != nil || got != c.want {
				t.Errorf("%s: %s, want %s: %+v, %v", name, got, c.want, res, err)
			}
			if chunked := res.Data.Code == 0; chunked != (len(c.content) > 256<<10) {
				t.Errorf("%s: %d bytes went by BDAT: %t", name, len(c.content), chunked)
			}
		}
		conn.Leave(t.Context())
	}
	for user, want := range map[string]int{"anna@them.example": 4, "otto@them.example": 4, "full@them.example": 0} {
		for protocol, got := range map[string][]string{"IMAP": d.IMAP(t, user), "POP3": d.POP3(t, user)} {
			if len(got) != want {
				t.Errorf("%s has %d messages by %s, want %d", user, len(got), protocol, want)
			}
			for _, content := range got {
				if !strings.HasSuffix(content, small) && !strings.HasSuffix(content, large) {
					t.Errorf("%s: by %s another message: %.200q", user, protocol, content)
				}
			}
		}
	}
}

// overTCP is what a site does with hosts.
func overTCP(ctx context.Context, address string) (transport.Conn, error) {
	nc, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	c, err := smtpc.Greet(ctx, nc, smtpc.Options{Hostname: "us.example", LMTP: true})
	return session{c}, err
}

type session struct{ *smtpc.Conn }

func (session) Peer() transport.Peer        { return transport.Peer{} }
func (s session) Leave(ctx context.Context) { s.Quit(ctx) }

// Where there is no server, the error says where it was looked for.
func TestNoServer(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "lmtp")
	_, err := lmtp.New(lmtp.Options{Socket: socket}).Open(t.Context())
	var e *transport.Error
	if !errors.As(err, &e) || e.Phase != 0 || e.Ours || !strings.Contains(err.Error(), socket) {
		t.Errorf("%v", err)
	}
}
