package tlspolicy

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"

	"quorumta/internal/tlspolicy/dane"
	"quorumta/internal/tlspolicy/mtasts"
	"quorumta/internal/tlspolicy/tlsrpt"
)

// level is how much is demanded of a connection, ascending.
type level uint8

const (
	plain         level = iota // TLS is not used
	opportunistic              // TLS if it works
	encrypted                  // TLS
	verified                   // TLS, with a certificate that WebPKI vouches for
	authenticated              // TLS, with a certificate that TLSA records vouch for
)

var levels = map[Mode]level{Off: plain, Try: opportunistic, Require: encrypted, Verify: verified}

// Rule is what a connection to one host must be like.
type Rule struct {
	policy *Policy
	host   string
	level  level
	dane   dane.Policy
}

// Wanted reports whether TLS is used where it is offered.
func (r *Rule) Wanted() bool { return r.level != plain }

// Needed reports whether nothing may be said in the clear.
func (r *Rule) Needed() bool { return r.level > opportunistic }

// Raised reports whether the domain or the sender demands more than the router:
// a host that cannot do it may be good enough for other mail.
func (r *Rule) Raised() bool { return r.level > levels[r.policy.Mode] }

// Authentic reports whether the server proves who it is.
func (r *Rule) Authentic() bool { return r.level >= verified }

// Config is what is asked of the server's certificate. Without verification TLS
// still keeps out those who only listen (RFC 7435).
func (r *Rule) Config(base *tls.Config) *tls.Config {
	cfg := base.Clone()
	if cfg == nil {
		cfg = &tls.Config{}
	}
	cfg.MinVersion = max(cfg.MinVersion, tls.VersionTLS12)
	if r.level == authenticated {
		return r.dane.Config(cfg, r.policy.checker.now)
	}
	cfg.ServerName = r.host
	cfg.InsecureSkipVerify = r.level != verified
	return cfg
}

// How names the way in which the peer was verified, for the record.
func (r *Rule) How() string {
	switch r.level {
	case authenticated:
		return "dane"
	case verified:
		return "verified"
	}
	return "unverified"
}

// Lacks says what the sender demands and an open session does not have; nil:
// nothing. offered is whether the server offers REQUIRETLS over TLS.
func (r *Rule) Lacks(offered bool) *Refusal {
	if r.policy.Sender != RequireTLS || offered {
		return nil
	}
	// RFC 8689, section 4.2.1.
	return &Refusal{Text: "the sender demands REQUIRETLS, which the host does not offer", Final: true, Enhanced: "5.7.30"}
}

// Untrusted reports whether a handshake failed since the server's certificate is
// not as the rule wants it.
func Untrusted(err error) bool {
	return errors.As(err, new(*tls.CertificateVerificationError)) || errors.As(err, new(*dane.Error))
}

// Failed is the refusal of a session whose TLS is not as it must be.
func (r *Rule) Failed(text string) *Refusal { return r.policy.refusal(text) }

// Ends are the two addresses of a connection, textual, for reports.
type Ends struct{ Here, There string }

// ErrNotOffered is for Count: the server offers no TLS.
var ErrNotOffered = errors.New("STARTTLS is not offered")

// Count counts a session: state is that of TLS, nil where there was none; err
// says why TLS failed, also where the mail went in the clear then. roots are
// those that WebPKI goes by, nil for the system's.
func (r *Rule) Count(ends Ends, state *tls.ConnectionState, err error, roots *x509.CertPool) {
	p := r.policy
	if p.checker == nil || p.checker.Count == nil || p.Domain == "" || r.level == plain || p.Sender == TLSOptional {
		return // RFC 8460, section 5.3: what goes without demands is not counted
	}
	none := true
	if r.dane.Kind != dane.None {
		none = false
		r.count(r.tlsaPolicy(), ends, err)
	}
	if p.fault != nil {
		none = false
		r.count(p.stsPolicy(), ends, p.fault)
	}
	if p.sts != nil {
		none = false
		if !errors.As(err, new(*dane.Error)) { // which leaves open what MTA-STS would have said
			r.count(p.stsPolicy(), ends, r.wouldBe(state, err, roots))
		}
	}
	if none {
		r.count(tlsrpt.Policy{Type: tlsrpt.NoPolicy, Domain: p.Domain}, ends, err)
	}
}

// errForeign: the host is none of those that the policy allows.
var errForeign = errors.New("host not in the policy")

// wouldBe is what MTA-STS makes of a session, whether it decided or not: so are
// policies reported that are only tested, or that DANE stands above.
func (r *Rule) wouldBe(state *tls.ConnectionState, err error, roots *x509.CertPool) error {
	switch {
	case !r.policy.sts.Allows(r.host):
		return errForeign
	case state == nil || len(state.PeerCertificates) == 0:
		return err
	}
	o := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool(), CurrentTime: r.policy.checker.now(), DNSName: r.host}
	for _, c := range state.PeerCertificates[1:] {
		o.Intermediates.AddCert(c)
	}
	_, err = state.PeerCertificates[0].Verify(o)
	return err
}

// count counts a session under one policy.
func (r *Rule) count(policy tlsrpt.Policy, ends Ends, err error) {
	s := tlsrpt.Session{Domain: r.policy.Domain, Policy: policy}
	if err != nil {
		s.Failed = &tlsrpt.Failure{
			Result: resultOf(err), SendingIP: ends.Here, ReceivingIP: ends.There, MXHost: r.host, Reason: reasonOf(err),
		}
	}
	r.policy.checker.Count(s)
}

// countRefusal counts a session that was not tried.
func (r *Rule) countRefusal(policy tlsrpt.Policy, result tlsrpt.Result, reason string) {
	p := r.policy
	if p.checker == nil || p.checker.Count == nil || p.Domain == "" {
		return
	}
	p.checker.Count(tlsrpt.Session{Domain: p.Domain, Policy: policy, Failed: &tlsrpt.Failure{
		Result: result, MXHost: r.host, Reason: cut(reason),
	}})
}

// resultOf is what RFC 8460, section 4.3, calls a failure.
func resultOf(err error) tlsrpt.Result {
	var byTLSA *dane.Error
	var invalid x509.CertificateInvalidError
	switch {
	case errors.Is(err, ErrNotOffered):
		return tlsrpt.StartTLSNotSupported
	case errors.As(err, &byTLSA):
		return tlsrpt.Result(byTLSA.Result)
	case errors.Is(err, mtasts.ErrWebPKI):
		return tlsrpt.STSWebPKIInvalid
	case errors.Is(err, mtasts.ErrFetch):
		return tlsrpt.STSPolicyFetchError
	case errors.Is(err, mtasts.ErrBadPolicy), errors.Is(err, mtasts.ErrBadRecord):
		return tlsrpt.STSPolicyInvalid
	case errors.As(err, new(x509.HostnameError)):
		return tlsrpt.CertificateHostMismatch
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return tlsrpt.CertificateExpired
	case errors.As(err, new(x509.UnknownAuthorityError)), errors.As(err, &invalid):
		return tlsrpt.CertificateNotTrusted
	}
	return tlsrpt.ValidationFailure
}

// reasonOf is why, in few words that do not differ from session to session, as
// dates and ports do: equal failures are counted together.
func reasonOf(err error) string {
	var byTLSA *dane.Error
	var alert tls.AlertError
	var network *net.OpError
	switch result := resultOf(err); {
	case result == tlsrpt.StartTLSNotSupported, result == tlsrpt.CertificateExpired:
		return ""
	case errors.As(err, &byTLSA):
		return cut(byTLSA.Text)
	case errors.As(err, &alert):
		return fmt.Sprintf("TLS alert %d", uint8(alert))
	case errors.As(err, &network):
		return cut(network.Op + ": " + network.Err.Error())
	}
	return cut(err.Error())
}

// cut bounds what a report says of a failure.
func cut(s string) string {
	const most = 120
	if len(s) > most {
		s = s[:most]
	}
	return s
}
