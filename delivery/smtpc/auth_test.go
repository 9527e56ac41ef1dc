package smtpc

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"quorumta/delivery/smtpc/sasl"
	"quorumta/delivery/transport"
	"quorumta/smtp/smtptest"
)

const offersAuth = `
	S: 220 them.example
	C: EHLO us.example
	S: 250-them.example
	S: 250-AUTH=LOGIN
	S: 250 AUTH LOGIN PLAIN
`

func TestAuthDialogue(t *testing.T) {
	long := strings.Repeat("p", 400)
	for name, c := range map[string]struct {
		login  sasl.Login
		lines  string
		code   int
		text   string
		is     error
		logged bool
	}{
		"plain": {login: sasl.Login{User: "me", Password: "geheim"}, logged: true, lines: `
			C: AUTH PLAIN AG1lAGdlaGVpbQ==
			S: 235 2.7.0 in`},
		"login": {login: sasl.Login{User: "me", Password: "geheim", Mechanisms: []string{"LOGIN"}}, logged: true, lines: `
			C: AUTH LOGIN
			S: 334 VXNlcm5hbWU6
			C: bWU=
			S: 334 UGFzc3dvcmQ6
			C: Z2VoZWlt
			S: 235 in`},
		"too long for one line": {login: sasl.Login{User: "me", Password: long}, logged: true, lines: `
			C: AUTH PLAIN
			S: 334
			C: AG1lA` + strings.Repeat("HBwc", 133) + `HA=
			S: 235 in`},
		"refused, with our own words": {login: sasl.Login{User: "me", Password: "geheim"}, code: 535, text: "no … or …", lines: `
			C: AUTH PLAIN AG1lAGdlaGVpbQ==
			S: 535 5.7.8 no AG1lAGdlaGVpbQ== or geheim`},
		"closed": {login: sasl.Login{User: "me", Password: "geheim"}, code: 421, lines: `
			C: AUTH PLAIN AG1lAGdlaGVpbQ==
			S: 421 bye`},
		"one question more": {login: sasl.Login{User: "me", Password: "geheim"}, lines: `
			C: AUTH PLAIN AG1lAGdlaGVpbQ==
			S: 334 bW9yZT8=
			C: *
			S: 501 given up`},
		"questions without end": {login: sasl.Login{User: "me", Password: "p", Mechanisms: []string{"LOGIN"}}, lines: `
			C: AUTH LOGIN
			S: 334 not-base64!
			C: *
			S: 501 given up`},
		"nothing in common": {login: sasl.Login{User: "me", Token: "t"}, is: sasl.ErrNone},
	} {
		t.Run(name, func(t *testing.T) {
			c0 := mustOpen(t, offersAuth+strings.TrimPrefix(c.lines, "\n"))
			err := c0.Auth(context.Background(), c.login, "them.example:25")
			if c.logged {
				if err != nil || c0.Closed() {
					t.Fatal(err)
				}
				return
			}
			var e *transport.Error
			if !errors.As(err, &e) || e.Phase != transport.PhaseAuth || e.Reply.Code != c.code || !strings.Contains(e.Reply.Text, c.text) || !c0.Closed() {
				t.Errorf("%#v", err)
			}
			if c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("%v", err)
			}
			if strings.Contains(err.Error(), "geheim") || strings.Contains(err.Error(), "AG1lAGdlaGVpbQ==") {
				t.Errorf("the password is in %v", err)
			}
		})
	}
}

func unverified() *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, ServerName: smtptest.Domain}
}

// loggedIn opens a session with TLS and logs in.
func loggedIn(t *testing.T, address string, who sasl.Login) (*Conn, error) {
	t.Helper()
	c := dial(t, address)
	if err := c.StartTLS(context.Background(), unverified()); err != nil {
		t.Fatal(err)
	}
	return c, c.Auth(context.Background(), who, address)
}

// TestPostfixWithDovecot: a real Postfix that takes mail only from who has
// logged in, with Dovecot to ask.
func TestPostfixWithDovecot(t *testing.T) {
	tokens := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Query().Get("token") != "ticket" {
			_, _ = w.Write([]byte(`{"active": false}`))
			return
		}
		_, _ = w.Write([]byte(`{"active": true, "username": "me@us.example"}`))
	}))
	t.Cleanup(tokens.Close)
	cert, key := smtptest.Pair(t, smtptest.Domain)
	socket := smtptest.DovecotSASL(t, tokens.URL+"/?token=", "me@us.example:{PLAIN}gehe im,=")
	server := smtptest.Postfix(t, "",
		"smtpd_tls_cert_file = "+cert, "smtpd_tls_key_file = "+key, "smtpd_tls_security_level = may",
		"smtpd_sasl_auth_enable = yes", "smtpd_sasl_type = dovecot", "smtpd_sasl_path = "+socket,
		"smtpd_tls_auth_only = yes", "smtpd_recipient_restrictions = permit_sasl_authenticated, reject")

	c := dial(t, server.Address)
	if len(c.Extensions().Auth) != 0 {
		t.Errorf("AUTH in the clear: %v", c.Extensions().Auth)
	}
	if err := c.Auth(context.Background(), sasl.Login{User: "x", Password: "y"}, ""); !errors.Is(err, sasl.ErrNone) {
		t.Errorf("in the clear: %v", err)
	}
	used := 0
	for _, name := range []string{"PLAIN", "LOGIN", "SCRAM-SHA-1", "SCRAM-SHA-256", "XOAUTH2", "OAUTHBEARER", ""} {
		who := sasl.Login{User: "me@us.example", Password: "gehe im,=", Token: "ticket", Mechanisms: []string{name}}
		switch {
		case name == "":
			who.Mechanisms, who.Token = nil, ""
		case !strings.Contains(name, "OAUTH") && !strings.Contains(name, "OAUTHB"):
			who.Token = ""
		}
		c, err := loggedIn(t, server.Address, who)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		used++
		res, err := c.Send(context.Background(), message("Subject: by "+name+"\r\n\r\nhi\r\n", "a@them.example"))
		if err != nil || !res.Final.Positive() {
			t.Errorf("%s: %+v, %v", name, res, err)
		}
		c.Quit(context.Background())

		who.Password, who.Token = who.Password+"!", strings.Replace(who.Token, "t", "T", 1)
		_, err = loggedIn(t, server.Address, who)
		var e *transport.Error
		if !errors.As(err, &e) || e.Phase != transport.PhaseAuth || e.Reply.Code != 535 {
			t.Errorf("%s with a wrong secret: %v", name, err)
		}
	}
	server.Arrivals(t, used)
}

const eximAuthenticators = `
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${if and{{eq{$auth2}{me}}{eq{$auth3}{geheim}}}}
  server_set_id = $auth2
login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = Username:: : Password::
  server_condition = ${if and{{eq{$auth1}{me}}{eq{$auth2}{geheim}}}}
  server_set_id = $auth1
`

func TestEximWithAuth(t *testing.T) {
	cert, key := smtptest.Pair(t, smtptest.Domain)
	server := smtptest.Exim(t, "", "tls_advertise_hosts = *\ntls_certificate = "+cert+"\ntls_privatekey = "+key+
		"\nauth_advertise_hosts = ${if eq{$tls_in_cipher}{}{}{*}}\nacl_smtp_mail = ${if def:authenticated_id {accept}{deny}}", eximAuthenticators)
	for _, name := range []string{"PLAIN", "LOGIN"} {
		c, err := loggedIn(t, server.Address, sasl.Login{User: "me", Password: "geheim", Mechanisms: []string{name}})
		if err != nil {
			t.Fatal(err)
		}
		if res, err := c.Send(context.Background(), message("Subject: "+name+"\r\n\r\nhi\r\n", "a@them.example")); err != nil || !res.Final.Positive() {
			t.Errorf("%s: %+v, %v", name, res, err)
		}
		c.Quit(context.Background())
		_, err = loggedIn(t, server.Address, sasl.Login{User: "me", Password: "falsch", Mechanisms: []string{name}})
		var e *transport.Error
		if !errors.As(err, &e) || e.Reply.Code != 535 {
			t.Errorf("%s with a wrong password: %v", name, err)
		}
	}
	server.Arrivals(t, 2)
}
