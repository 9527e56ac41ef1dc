package delivery

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gosmtp "github.com/emersion/go-smtp"

	"quorumta/delivery/memory"
	"quorumta/delivery/route"
	"quorumta/internal/dns"
	"quorumta/internal/mail"
	"quorumta/internal/tlspolicy"
	"quorumta/internal/tlspolicy/mtasts"
	"quorumta/internal/tlspolicy/tlsrpt"
	"quorumta/queue"
	"quorumta/queue/event"
)

// issuer signs certificates.
type issuer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	return new(issuer).issue(t, "an authority", time.Now().Add(time.Hour))
}

// issue makes a certificate; one without an issuer signs itself.
func (by *issuer) issue(t *testing.T, name string, until time.Time) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until, BasicConstraintsValid: true,
	}
	parent, signer := template, key
	if by.cert != nil {
		template.DNSNames = []string{name}
		parent, signer = by.cert, by.key
	} else {
		template.IsCA, template.KeyUsage = true, x509.KeyUsageCertSign
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &issuer{cert, key}
}

func (by *issuer) pair(chain ...*issuer) tls.Certificate {
	out := tls.Certificate{Certificate: [][]byte{by.cert.Raw}, PrivateKey: by.key}
	for _, c := range chain {
		out.Certificate = append(out.Certificate, c.cert.Raw)
	}
	return out
}

// tlsa is a record about the key of a certificate: 2 for an authority's, 3 for
// a server's.
func (by *issuer) tlsa(usage uint8) []dns.TLSA {
	sum := sha256.Sum256(by.cert.RawSubjectPublicKeyInfo)
	return []dns.TLSA{{Usage: usage, Selector: 1, Matching: 1, Data: sum[:]}}
}

// place is a domain with one mail host, and what router and sender want.
type place struct {
	// router is "" for one with dane: on and mta_sts: on.
	router string
	change func(*queue.Submission)
	// secure: the MX and address records are validated.
	secure    bool
	bogus     bool // the MX records fail validation
	tlsa      []dns.TLSA
	tlsaFails bool
	// sts is what the policy host answers; "" for no MTA-STS.
	sts     string
	stsCert string // the policy host's certificate is for this name
	// cert is the mail host's; nil: it has no TLS.
	cert       *tls.Certificate
	tooOld     bool
	requireTLS bool

	// What is expected: outcome is "deferred", "failed" or "delivered", said is
	// part of the reason, counted what reports will tell.
	outcome, said string
	counted       []string

	raw     bytes.Buffer // what the host was sent, on the wire
	rawLock sync.Mutex
	envelope
}

// envelope is what the host took.
type envelope struct {
	options *gosmtp.MailOptions
	content string
}

// neighbourhood is all places.
type neighbourhood struct {
	*testing.T
	places map[string]*place
	order  []string
	ports  map[string]string
	policy string // the policy hosts' address
	roots  *x509.CertPool

	mu      sync.Mutex
	counted map[string][]string
}

func (n *neighbourhood) place(name string) *place {
	return n.places[strings.TrimSuffix(strings.TrimPrefix(dns.Canonical(name), "mx."), ".example")]
}

func (n *neighbourhood) LookupMX(_ context.Context, domain string) ([]dns.MX, dns.Origin, error) {
	p := n.place(domain)
	if p == nil { // the sender's, who gets reports
		return nil, dns.Origin{}, dns.ErrNotFound
	}
	if p.bogus {
		return nil, dns.Origin{}, fmt.Errorf("%w: %w", dns.ErrTemporary, dns.ErrBogus)
	}
	return []dns.MX{{Host: "mx." + domain}}, dns.Origin{Name: domain, Secure: p.secure}, nil
}

func (n *neighbourhood) LookupSRV(context.Context, string) ([]dns.SRV, dns.Origin, error) {
	return nil, dns.Origin{}, dns.ErrNotFound
}

func (n *neighbourhood) LookupHost(_ context.Context, name string) ([]netip.Addr, dns.Origin, error) {
	i := slices.Index(n.order, strings.TrimSuffix(strings.TrimPrefix(name, "mx."), ".example"))
	if i < 0 {
		return nil, dns.Origin{}, dns.ErrNotFound
	}
	return []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})}, dns.Origin{Name: name, Secure: n.place(name).secure}, nil
}

func (n *neighbourhood) LookupCNAME(context.Context, string) (dns.Origin, error) {
	return dns.Origin{}, dns.ErrNoData
}

func (n *neighbourhood) LookupTLSA(_ context.Context, host string, _ uint16) ([]dns.TLSA, dns.Origin, error) {
	p := n.place(host)
	switch {
	case p.tlsaFails:
		return nil, dns.Origin{}, dns.ErrTemporary
	case p.tlsa == nil:
		return nil, dns.Origin{Secure: true}, dns.ErrNotFound
	}
	return p.tlsa, dns.Origin{Secure: true}, nil
}

func (n *neighbourhood) texts(_ context.Context, name string) ([]string, error) {
	if p := n.place(strings.TrimPrefix(name, "_mta-sts.")); p == nil || p.sts == "" {
		return nil, dns.ErrNotFound
	}
	return []string{"v=STSv1; id=1"}, nil
}

func (n *neighbourhood) dial(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", n.ports[n.order[addr.Addr().As4()[3]]])
}

func (n *neighbourhood) count(s tlsrpt.Session) {
	n.mu.Lock()
	defer n.mu.Unlock()
	name := strings.TrimSuffix(s.Domain, ".example")
	word := string(s.Policy.Type) + " ok"
	if s.Failed != nil {
		word = string(s.Policy.Type) + " " + string(s.Failed.Result)
		if s.Failed.MXHost != "mx."+s.Domain && !n.place(s.Domain).bogus {
			n.Errorf("%s: counted for host %s", name, s.Failed.MXHost)
		}
	}
	if !slices.Contains(n.counted[name], word) {
		n.counted[name] = append(n.counted[name], word)
	}
}

// recorded is a connection of which the host's side is written down.
type recorded struct {
	net.Conn
	to *place
}

func (r recorded) Read(b []byte) (int, error) {
	k, err := r.Conn.Read(b)
	r.to.rawLock.Lock()
	defer r.to.rawLock.Unlock()
	r.to.raw.Write(b[:k])
	return k, err
}

type recordingListener struct {
	net.Listener
	to *place
}

func (l recordingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return recorded{c, l.to}, nil
}

// NewSession, and the methods below, make a place a go-smtp server.
func (p *place) NewSession(*gosmtp.Conn) (gosmtp.Session, error) { return p, nil }
func (p *place) Mail(_ string, o *gosmtp.MailOptions) error {
	p.rawLock.Lock()
	defer p.rawLock.Unlock()
	p.options = o
	return nil
}
func (p *place) Rcpt(string, *gosmtp.RcptOptions) error { return nil }
func (p *place) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	p.rawLock.Lock()
	defer p.rawLock.Unlock()
	p.content = string(b)
	return err
}
func (p *place) Reset()        {}
func (p *place) Logout() error { return nil }

// start starts the mail host of each place, and the policy hosts.
func (n *neighbourhood) start(ca *issuer) {
	for name, p := range n.places {
		n.order = append(n.order, name)
		server := gosmtp.NewServer(p)
		server.Domain, server.EnableREQUIRETLS = "mx."+name+".example", p.requireTLS
		server.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
		if p.cert != nil {
			server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{*p.cert}}
			if p.tooOld {
				server.TLSConfig.MinVersion, server.TLSConfig.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
			}
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			n.Fatal(err)
		}
		n.ports[name] = l.Addr().String()
		go func() { _ = server.Serve(recordingListener{l, p}) }()
		n.Cleanup(func() { _ = server.Close() })
	}
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := n.place(strings.TrimPrefix(r.Host, "mta-sts."))
		if p.sts == "fails" {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, p.sts)
	}))
	web.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	web.TLS = &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		name := hello.ServerName
		if other := n.place(strings.TrimPrefix(name, "mta-sts.")).stsCert; other != "" {
			name = other
		}
		pair := ca.issue(n.T, name, time.Now().Add(time.Hour)).pair()
		return &pair, nil
	}}
	web.StartTLS()
	n.Cleanup(web.Close)
	n.policy = web.Listener.Addr().String()
}

func (n *neighbourhood) checker() *tlspolicy.Checker {
	return &tlspolicy.Checker{
		Resolver: n, Count: n.count,
		STS: mtasts.New(mtasts.Options{
			TXT: n.texts, Roots: n.roots, Log: slog.New(slog.DiscardHandler),
			Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, n.policy)
			},
		}),
	}
}

func sts(mode, mx string) string {
	return fmt.Sprintf("version: STSv1\nmode: %s\nmx: %s\nmax_age: 86400\n", mode, mx)
}

// places are the cases: what RFC 7672 (sections 2.1.3, 2.2, 3.1), RFC 8461
// (sections 3.3, 4, 5) and RFC 8689 (section 4.2) have a sender do.
func places(t *testing.T, ca *issuer) map[string]*place {
	later, past := time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
	other := newIssuer(t) // nobody trusts it
	good := func(name string) *tls.Certificate { p := ca.issue(t, "mx."+name+".example", later).pair(ca); return &p }
	of := func(i *issuer, chain ...*issuer) *tls.Certificate { p := i.pair(chain...); return &p }
	strange := other.issue(t, "mx.strange.example", later)
	expired := func(by *issuer, name string) *tls.Certificate {
		p := by.issue(t, "mx."+name+".example", past).pair(by)
		return &p
	}
	foreign := func(by *issuer) *tls.Certificate {
		p := by.issue(t, "elsewhere.example", later).pair(by)
		return &p
	}
	enforce := func(name string) string { return sts("enforce", "mx."+name+".example") }
	requireTLS := func(s *queue.Submission) { s.Envelope.RequireTLS = true }
	report := func(s *queue.Submission) { s.Envelope.RequireTLS, s.Envelope.From = true, mail.Address{} }
	optional := func(s *queue.Submission) { s.Envelope.TLSOptional = true }
	pkix := []dns.TLSA{{Usage: 1, Selector: 1, Matching: 1, Data: make([]byte, 32)}}
	const deferred, failed, delivered = "deferred", "failed", "delivered"
	return map[string]*place{
		// DANE.
		"dane-other-key":   {secure: true, tlsa: other.tlsa(3), cert: good("dane-other-key"), outcome: deferred, said: "no TLSA record", counted: []string{"tlsa tlsa-invalid"}},
		"dane-other-ta":    {secure: true, tlsa: other.tlsa(2), cert: good("dane-other-ta"), outcome: deferred, said: "no TLSA record", counted: []string{"tlsa tlsa-invalid"}},
		"dane-broken-ta":   {secure: true, tlsa: other.tlsa(2), cert: of(ca.issue(t, "mx.dane-broken-ta.example", later), other), outcome: deferred, said: "do not lead", counted: []string{"tlsa certificate-not-trusted"}},
		"dane-ta-name":     {secure: true, tlsa: other.tlsa(2), cert: foreign(other), outcome: deferred, said: "not for", counted: []string{"tlsa certificate-host-mismatch"}},
		"dane-ta-expired":  {secure: true, tlsa: other.tlsa(2), cert: expired(other, "dane-ta-expired"), outcome: deferred, said: "out of date", counted: []string{"tlsa certificate-expired"}},
		"dane-dns-fails":   {secure: true, tlsaFails: true, cert: good("dane-dns-fails"), outcome: deferred, said: "cannot be looked up", counted: []string{"tlsa dnssec-invalid"}},
		"dane-bogus-mx":    {bogus: true, cert: good("dane-bogus-mx"), outcome: deferred, said: "DNSSEC validation fails", counted: []string{"tlsa dnssec-invalid"}},
		"dane-no-starttls": {secure: true, tlsa: strange.tlsa(3), outcome: deferred, said: "STARTTLS", counted: []string{"tlsa starttls-not-supported"}},
		"dane-unusable":    {secure: true, tlsa: pkix, outcome: deferred, said: "STARTTLS", counted: []string{"tlsa starttls-not-supported"}},
		"dane-too-old":     {secure: true, tlsa: strange.tlsa(3), cert: of(strange), tooOld: true, outcome: deferred, said: "TLS", counted: []string{"tlsa validation-failure"}},
		"dane-required":    {router: "require", secure: true, cert: good("dane-required"), outcome: deferred, said: "DANE is required", counted: []string{"tlsa dane-required"}},
		"dane-insecure-mx": {router: "require", tlsa: strange.tlsa(3), cert: of(strange), outcome: deferred, said: "not secured", counted: []string{"tlsa dane-required"}},
		"dane-ok":          {secure: true, tlsa: strange.tlsa(3), cert: of(strange), outcome: delivered, counted: []string{"tlsa ok"}},
		"dane-ta-ok":       {secure: true, tlsa: other.tlsa(2), cert: of(other.issue(t, "mx.dane-ta-ok.example", later), other), outcome: delivered, counted: []string{"tlsa ok"}},
		"dane-encrypts":    {secure: true, tlsa: pkix, cert: foreign(other), outcome: delivered, counted: []string{"tlsa ok"}},
		"dane-off":         {router: "off", secure: true, tlsa: other.tlsa(3), outcome: delivered, counted: []string{"no-policy-found starttls-not-supported"}},
		// MTA-STS.
		"sts-other-host":  {sts: sts("enforce", "*.sts-other-host.example.net"), cert: good("sts-other-host"), outcome: deferred, said: "does not allow", counted: []string{"sts validation-failure"}},
		"sts-no-starttls": {sts: enforce("sts-no-starttls"), outcome: deferred, said: "STARTTLS", counted: []string{"sts starttls-not-supported"}},
		"sts-other-name":  {sts: enforce("sts-other-name"), cert: foreign(ca), outcome: deferred, said: "certificate", counted: []string{"sts certificate-host-mismatch"}},
		"sts-expired":     {sts: enforce("sts-expired"), cert: expired(ca, "sts-expired"), outcome: deferred, said: "certificate", counted: []string{"sts certificate-expired"}},
		"sts-untrusted":   {sts: enforce("sts-untrusted"), cert: of(other.issue(t, "mx.sts-untrusted.example", later), other), outcome: deferred, said: "certificate", counted: []string{"sts certificate-not-trusted"}},
		"sts-too-old":     {sts: enforce("sts-too-old"), cert: good("sts-too-old"), tooOld: true, outcome: deferred, said: "TLS", counted: []string{"sts validation-failure"}},
		"sts-ok":          {sts: enforce("sts-ok"), cert: good("sts-ok"), outcome: delivered, counted: []string{"sts ok"}},
		"sts-testing":     {sts: sts("testing", "other.example"), cert: foreign(other), outcome: delivered, counted: []string{"sts validation-failure"}},
		"sts-testing-tls": {sts: sts("testing", "mx.sts-testing-tls.example"), outcome: delivered, counted: []string{"sts starttls-not-supported"}},
		"sts-testing-not": {sts: sts("testing", "mx.sts-testing-not.example"), cert: foreign(other), outcome: delivered, counted: []string{"sts certificate-host-mismatch"}},
		"sts-none":        {sts: "version: STSv1\nmode: none\nmax_age: 1\n", outcome: delivered, counted: []string{"no-policy-found starttls-not-supported"}},
		"sts-fails":       {sts: "fails", outcome: delivered, counted: []string{"sts sts-policy-fetch-error"}},
		"sts-invalid":     {sts: "nonsense", outcome: delivered, counted: []string{"sts sts-policy-invalid"}},
		"sts-webpki":      {sts: enforce("sts-webpki"), stsCert: "www.example", outcome: delivered, counted: []string{"sts sts-webpki-invalid"}},
		"sts-off":         {router: "off", sts: enforce("sts-off"), outcome: delivered, counted: []string{"no-policy-found starttls-not-supported"}},
		// Both: MTA-STS does not make good what DANE refuses (RFC 8461, section
		// 2), and what DANE vouches for needs no other voucher.
		"both-dane-refuses": {secure: true, tlsa: other.tlsa(3), sts: enforce("both-dane-refuses"), cert: good("both-dane-refuses"), outcome: deferred, said: "no TLSA record", counted: []string{"tlsa tlsa-invalid"}},
		"both-dane-wins":    {secure: true, tlsa: strange.tlsa(3), sts: enforce("strange"), cert: of(strange), outcome: delivered, counted: []string{"tlsa ok", "sts validation-failure"}},
		"both-unusable":     {secure: true, tlsa: pkix, sts: enforce("both-unusable"), cert: foreign(ca), outcome: deferred, said: "certificate", counted: []string{"tlsa certificate-host-mismatch", "sts certificate-host-mismatch"}},
		// What the operator demands.
		"verify-name":  {router: "verify", cert: foreign(ca), outcome: deferred, said: "certificate", counted: []string{"no-policy-found certificate-host-mismatch"}},
		"verify-clear": {router: "verify", outcome: deferred, said: "STARTTLS", counted: []string{"no-policy-found starttls-not-supported"}},
		// What the sender demands (RFC 8689).
		"req-ok":          {change: requireTLS, secure: true, cert: good("req-ok"), requireTLS: true, outcome: delivered, counted: []string{"no-policy-found ok"}},
		"req-dane":        {change: requireTLS, secure: true, tlsa: strange.tlsa(3), cert: of(strange), requireTLS: true, outcome: delivered, counted: []string{"tlsa ok"}},
		"req-sts":         {change: requireTLS, sts: enforce("req-sts"), cert: good("req-sts"), requireTLS: true, outcome: delivered, counted: []string{"sts ok"}},
		"req-not-offered": {change: requireTLS, secure: true, cert: good("req-not-offered"), outcome: failed, said: "5.7.30", counted: []string{"no-policy-found ok"}},
		"req-no-starttls": {change: requireTLS, secure: true, outcome: failed, said: "5.7.10", counted: []string{"no-policy-found starttls-not-supported"}},
		"req-other-name":  {change: requireTLS, secure: true, cert: foreign(ca), requireTLS: true, outcome: failed, said: "5.7.10", counted: []string{"no-policy-found certificate-host-mismatch"}},
		"req-insecure-mx": {change: requireTLS, cert: good("req-insecure-mx"), requireTLS: true, outcome: failed, said: "5.7.10"},
		"req-too-old":     {change: requireTLS, secure: true, cert: good("req-too-old"), requireTLS: true, tooOld: true, outcome: deferred, said: "4.7.5", counted: []string{"no-policy-found validation-failure"}},
		"req-report":      {change: report, outcome: delivered, counted: []string{"no-policy-found starttls-not-supported"}},
		"optional-dane":   {change: optional, secure: true, tlsa: other.tlsa(3), outcome: delivered},
		"optional-sts":    {change: optional, sts: enforce("elsewhere"), outcome: delivered},
	}
}

// TestRefusals: whatever policy, DNS and hosts do, mail waits, or is returned
// where the sender wants it so; neither its envelope nor its content leaves in
// the clear, and the owner of the domain is told why.
func TestRefusals(t *testing.T) {
	ca := newIssuer(t)
	n := &neighbourhood{T: t, places: places(t, ca), ports: map[string]string{}, counted: map[string][]string{}, roots: x509.NewCertPool()}
	n.roots.AddCert(ca.cert)
	n.start(ca)
	h := openLogged(t, slog.New(slog.DiscardHandler), func(o *Options) {
		o.Rules.TLS = n.checker()
		o.Sites.Dial, o.Sites.TLS = n.dial, &tls.Config{RootCAs: n.roots}
	})
	for router, r := range map[string]route.Router{
		"":        {Demand: tlspolicy.Demand{DANE: tlspolicy.DANEOn, STS: true}},
		"require": {Demand: tlspolicy.Demand{DANE: tlspolicy.DANERequire, STS: true}},
		"off":     {Demand: tlspolicy.Demand{DANE: tlspolicy.DANEOff}},
		"verify":  {Demand: tlspolicy.Demand{DANE: tlspolicy.DANEOn, STS: true}, TLS: route.TLSVerify},
	} {
		r.Name, r.MX = "internet", true
		table, err := route.New(route.Options{Hostname: "us.example", Resolver: n, Routers: []route.Router{r}})
		if err != nil {
			t.Fatal(err)
		}
		h.rules(func(r *Rules) { r.Router = table })
		ids := map[string]mail.MessageID{}
		for name, p := range n.places {
			if p.router == router {
				ids[name] = h.submit(p.change, "somebody@"+name+".example")
			}
		}
		for name, id := range ids {
			n.places[name].judge(h, n, name, id)
		}
	}
}

// judge waits for the outcome and compares it.
func (p *place) judge(h *house, n *neighbourhood, name string, id mail.MessageID) {
	var got string
	var attempt event.Attempt
	h.waitFor(name, func() bool {
		_, records, err := h.Show(h.t.Context(), id)
		if err != nil {
			h.t.Fatal(err)
		}
		for _, r := range records {
			switch e := r.Event.(type) {
			case *event.Delivered:
				got, attempt = "delivered", e.Attempt
			case *event.Deferred:
				got, attempt = "deferred", e.Attempt
			case *event.Failed:
				got, attempt = "failed", e.Attempt
			}
		}
		return got != ""
	})
	said := attempt.Reply.Enhanced + " " + attempt.Reply.Text
	if got != p.outcome || !strings.Contains(said, p.said) {
		n.Errorf("%s: %s, %s; want %s, %s", name, got, said, p.outcome, p.said)
	}
	if p.router == "" {
		at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(slices.Index(n.order, name))}), 25)
		if f, ok := h.delivery.memory.Get(memory.Host("mx."+name+".example", at.String())); ok {
			n.Errorf("%s: what one domain demands is held against the host: %+v", name, f)
		}
	}
	n.mu.Lock()
	counted := slices.Sorted(slices.Values(n.counted[name]))
	n.mu.Unlock()
	if want := slices.Sorted(slices.Values(p.counted)); !slices.Equal(counted, want) {
		n.Errorf("%s: counted %q, want %q", name, counted, want)
	}
	p.rawLock.Lock()
	defer p.rawLock.Unlock()
	wire := strings.ToUpper(p.raw.String())
	inClear := strings.Contains(wire, "MAIL FROM") || strings.Contains(wire, "SUBJECT") || strings.Contains(wire, "SENDER.EXAMPLE")
	if got != "delivered" && (inClear || p.options != nil) {
		n.Errorf("%s: the host was told of the message: %q, %v", name, wire, p.options)
	}
	if secret := attempt.TLS != ""; got == "delivered" && (secret == inClear || !strings.Contains(p.content, "Subject: test")) {
		n.Errorf("%s: delivered with TLS %q, in the clear %t, content %q", name, attempt.TLS, inClear, p.content)
	}
	if strings.HasPrefix(name, "req-") && got == "delivered" && p.options.RequireTLS != p.requireTLS {
		n.Errorf("%s: REQUIRETLS is %t", name, p.options.RequireTLS)
	}
}
