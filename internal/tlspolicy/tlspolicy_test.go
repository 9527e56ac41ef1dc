package tlspolicy

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"quorumta/internal/tlspolicy/dane"
	"quorumta/internal/tlspolicy/mtasts"
	"quorumta/internal/tlspolicy/tlsrpt"
)

// TestClass: what must not share connections has classes of its own, and
// nothing else has.
func TestClass(t *testing.T) {
	hosts := []string{"mx1.example.com", "mx2.example.net", "mx2.example.net"}
	policy := func(mode mtasts.Mode, mx ...string) *mtasts.Policy { return &mtasts.Policy{Mode: mode, MX: mx} }
	for _, c := range []struct {
		p    Policy
		want string
	}{
		{Policy{Demand: Demand{Mode: Try}}, ""},
		{Policy{Demand: Demand{Mode: Verify, DANE: DANEOff, Secure: true}}, ""},
		{Policy{Demand: Demand{Mode: Try, DANE: DANEOn}}, ""},
		{Policy{Demand: Demand{Mode: Try, DANE: DANEOn, Secure: true}}, " dane"},
		{Policy{Demand: Demand{Mode: Try, DANE: DANERequire, Secure: true}}, " dane-require"},
		{Policy{Demand: Demand{Mode: Try, DANE: DANERequire}}, " dane-impossible"},
		{Policy{sts: policy(mtasts.Testing, "x.example")}, ""},
		{Policy{sts: policy(mtasts.Enforce, "*.example.com", "mx2.example.net")}, " sts"},
		{Policy{sts: policy(mtasts.Enforce, "*.example.com")}, " sts not:mx2.example.net"},
		{Policy{Demand: Demand{DANE: DANEOn, Secure: true}, sts: policy(mtasts.Enforce, "*.example.com", "*.example.net")}, " dane sts"},
		{Policy{Demand: Demand{Sender: RequireTLS}}, " requiretls"},
		{Policy{Demand: Demand{Sender: RequireTLS}, sts: policy(mtasts.Testing, "mx1.example.com")}, " requiretls sts not:mx2.example.net"},
		{Policy{Demand: Demand{Sender: TLSOptional, Secure: true}}, " tls-optional"},
	} {
		if got := c.p.Class(hosts); got != c.want {
			t.Errorf("%+v: %q, want %q", c.p, got, c.want)
		}
	}
}

// TestResults: RFC 8460, section 4.3; and no reason differs from one session to
// the next for a port or a date.
func TestResults(t *testing.T) {
	refused := &url.Error{Op: "Get", URL: "https://mta-sts.example.com", Err: &net.OpError{
		Op: "dial", Net: "tcp", Addr: &net.TCPAddr{Port: 12345}, Err: errors.New("connection refused"),
	}}
	verification := func(err error) error { return &tls.CertificateVerificationError{Err: err} }
	for _, c := range []struct {
		err    error
		result tlsrpt.Result
		reason string
	}{
		{ErrNotOffered, tlsrpt.StartTLSNotSupported, ""},
		{&dane.Error{Result: dane.ResultTLSA, Text: "no match", Err: errors.New("at 12:00")}, tlsrpt.TLSAInvalid, "no match"},
		{verification(x509.CertificateInvalidError{Reason: x509.Expired, Detail: "current time 12:00"}), tlsrpt.CertificateExpired, ""},
		{verification(x509.CertificateInvalidError{Reason: x509.NotAuthorizedToSign}), tlsrpt.CertificateNotTrusted, "not authorized"},
		{verification(x509.UnknownAuthorityError{}), tlsrpt.CertificateNotTrusted, "unknown authority"},
		{verification(x509.HostnameError{Certificate: &x509.Certificate{}, Host: "a"}), tlsrpt.CertificateHostMismatch, "x509"},
		{fmt.Errorf("%w: %w", mtasts.ErrFetch, refused), tlsrpt.STSPolicyFetchError, "dial: connection refused"},
		{fmt.Errorf("%w: %w", mtasts.ErrWebPKI, x509.UnknownAuthorityError{}), tlsrpt.STSWebPKIInvalid, "policy host"},
		{mtasts.ErrBadPolicy, tlsrpt.STSPolicyInvalid, "invalid"},
		{mtasts.ErrBadRecord, tlsrpt.STSPolicyInvalid, "record"},
		{errForeign, tlsrpt.ValidationFailure, "host not in the policy"},
		{fmt.Errorf("handshake: %w", tls.AlertError(70)), tlsrpt.ValidationFailure, "TLS alert 70"},
		{errors.New(strings.Repeat("x", 500)), tlsrpt.ValidationFailure, "xxx"},
	} {
		reason := reasonOf(c.err)
		if result := resultOf(c.err); result != c.result || !strings.Contains(reason, c.reason) || c.reason == "" && reason != "" || len(reason) > 120 {
			t.Errorf("%v: %s, %q", c.err, result, reason)
		}
	}
}

// TestWithoutAChecker the mode alone counts.
func TestWithoutAChecker(t *testing.T) {
	var none *Checker
	p := none.Policy(t.Context(), Demand{Mode: Require, DANE: DANERequire, STS: true, Domain: "example.com", Secure: true})
	rule, refusal := p.Host(t.Context(), "mx.example.com", 25)
	if refusal != nil || !rule.Needed() || rule.Authentic() || rule.Raised() || p.Class(nil) != "" {
		t.Errorf("%+v %+v", rule, refusal)
	}
	if cfg := rule.Config(nil); !cfg.InsecureSkipVerify || cfg.ServerName != "mx.example.com" || cfg.MinVersion != tls.VersionTLS12 {
		t.Errorf("%+v", cfg)
	}
}

// TestExplain: what each that has a say demands is told, and nothing of it is
// counted.
func TestExplain(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	c := &Checker{
		Now:   func() time.Time { return now },
		Count: func(s tlsrpt.Session) { t.Errorf("counted: %+v", s) },
	}
	d := Demand{Mode: Try, STS: true, Domain: "example.com", DANE: DANEOn}
	p := Policy{Demand: d, checker: c, sts: &mtasts.Policy{Mode: mtasts.Enforce, MX: []string{"mx1.example.com"}}, fetched: now.Add(-time.Hour)}
	required := p
	required.DANE = DANERequire
	for _, x := range []struct {
		p                    Policy
		host, needs, refused string
		why                  string
	}{
		{p, "mx1.example.com", "verified", "", "tls: try; DANE: on, not asked: the names of the hosts are not secured by DNSSEC; MTA-STS: example.com has a policy of mode enforce, fetched 1h0m0s ago, for mx1.example.com, which allows the host"},
		{p, "mx2.example.com", "", "does not allow the host mx2", "which does not allow the host"},
		{required, "mx1.example.com", "", "DANE is required", "DANE: require, not asked"},
		{Policy{Demand: d, checker: c, fault: mtasts.ErrFetch}, "mx1.example.com", "opportunistic", "", "example.com has no policy (" + mtasts.ErrFetch.Error()},
		{Policy{Demand: Demand{Mode: Require}}, "mx1.example.com", "encrypted", "", "tls: require; DANE: off; MTA-STS: off"},
	} {
		got := x.p.Explain(t.Context(), x.host, 25)
		if got.Needs != x.needs || !strings.Contains(got.Refused, x.refused) || (x.refused == "") != (got.Refused == "") || !strings.Contains(strings.Join(got.Why, "; "), x.why) {
			t.Errorf("%s by %+v: %+v", x.host, x.p.Demand, got)
		}
	}
}
