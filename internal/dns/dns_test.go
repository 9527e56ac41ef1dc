package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// remote answers from records; names in it with other types are NODATA.
type remote struct {
	records []dns.RR
	// rcodes are answers without records; silent names get none.
	rcodes map[string]int
	silent map[string]bool
	// passedOver, if set, is told of each question that gets no answer.
	passedOver chan struct{}
	// mute is a type of questions that get no answer.
	mute   uint16
	asked  atomic.Int32
	tcp    atomic.Int32
	noEDNS bool
	// signed names are validated, for those who ask.
	signed map[string]bool
	// lower spells questions its own way, over UDP.
	lower bool
	// forger claims validity for everything.
	forger bool
}

func (z *remote) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	z.asked.Add(1)
	overTCP := w.RemoteAddr().Network() == "tcp"
	if overTCP {
		z.tcp.Add(1)
	}
	m := new(dns.Msg)
	m.SetReply(q)
	name := strings.ToLower(q.Question[0].Name)
	if z.lower && !overTCP {
		m.Question[0].Name = name
	}
	if z.silent[name] || z.mute != 0 && z.mute == q.Question[0].Qtype {
		if z.passedOver != nil {
			z.passedOver <- struct{}{}
		}
		return
	}
	if z.noEDNS && q.IsEdns0() != nil {
		m.Rcode = dns.RcodeFormatError
		_ = w.WriteMsg(m)
		return
	}
	z.fill(m, name, q.Question[0].Qtype)
	m.AuthenticatedData = z.validated(m, name) && q.AuthenticatedData && q.IsEdns0().Do() || z.forger
	if strings.HasPrefix(name, "big.") && !overTCP {
		m.Truncated, m.Answer = true, nil
	}
	_ = w.WriteMsg(m)
}

// validated reports whether the name and all aliases in the answer are signed.
func (z *remote) validated(m *dns.Msg, name string) bool {
	for _, record := range m.Answer {
		if !z.signed[record.Header().Name] {
			return false
		}
	}
	return z.signed[name]
}

func (z *remote) fill(m *dns.Msg, name string, qtype uint16) {
	if rcode, ok := z.rcodes[name]; ok {
		m.Rcode = rcode
		return
	}
	exists := false
	for _, record := range z.records {
		h := record.Header()
		if h.Name != name {
			continue
		}
		exists = true
		if h.Rrtype == qtype {
			m.Answer = append(m.Answer, record)
		} else if alias, ok := record.(*dns.CNAME); ok {
			m.Answer = append(m.Answer, record)
			if !strings.HasPrefix(name, "lazy") {
				z.fill(m, alias.Target, qtype)
			}
			return
		}
	}
	if !exists {
		m.Rcode = dns.RcodeNameError
	}
	if !exists || len(m.Answer) == 0 {
		m.Ns = append(m.Ns, record(". 300 IN SOA ns. admin. 1 2 3 4 60"))
	}
}

func record(text string) dns.RR {
	r, err := dns.NewRR(text)
	if err != nil {
		panic(err)
	}
	return r
}

// serve starts the zone on UDP and TCP of one loopback port.
func serve(t testing.TB, z *remote) netip.AddrPort {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	packets, err := net.ListenPacket("udp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	t.Cleanup(group.Wait) // after the shutdowns
	for _, server := range []*dns.Server{{Listener: listener, Handler: z}, {PacketConn: packets, Handler: z}} {
		started := make(chan struct{})
		server.NotifyStartedFunc = func() { close(started) }
		group.Go(func() { _ = server.ActivateAndServe() })
		<-started
		t.Cleanup(func() { _ = server.Shutdown() })
	}
	return netip.MustParseAddrPort(listener.Addr().String())
}

func testZone() *remote {
	z := &remote{rcodes: map[string]int{"broken.example.": dns.RcodeServerFailure, "refused.example.": dns.RcodeRefused}}
	for _, text := range []string{
		"two.example. 300 IN MX 20 b.two.example.",
		"two.example. 300 IN MX 10 A.two.example.",
		"a.two.example. 300 IN A 192.0.2.1",
		"a.two.example. 300 IN A 192.0.2.2",
		"a.two.example. 300 IN AAAA 2001:db8::1",
		"b.two.example. 300 IN A 192.0.2.3",
		"null.example. 300 IN MX 0 .",
		"odd.example. 300 IN MX 0 .",
		"odd.example. 300 IN MX 5 a.two.example.",
		"bare.example. 300 IN A 192.0.2.4",
		"text.example. 300 IN TXT hello",
		`words.example. 300 IN TXT "v=STSv1; " "id=\"1\\\228\""`,
		"_smtp._tcp.two.example. 300 IN SRV 20 0 25 b.two.example.",
		"_smtp._tcp.two.example. 300 IN SRV 10 7 2525 A.two.example.",
		"_smtp._tcp.bare.example. 300 IN SRV 0 0 0 .",
		"_25._tcp.a.two.example. 300 IN TLSA 3 1 1 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
		"half.example. 300 IN A 192.0.2.6",
		"half.example. 300 IN AAAA 2001:db8::6",
		"alias.example. 300 IN CNAME alias2.example.",
		"alias2.example. 300 IN CNAME a.two.example.",
		"lazy.example. 300 IN CNAME lazy2.example.",
		"lazy2.example. 300 IN CNAME b.two.example.",
		"loop.example. 300 IN CNAME lazyloop.example.",
		"lazyloop.example. 300 IN CNAME loop.example.",
		"dangling.example. 300 IN CNAME nowhere.example.",
		"xn--mnchen-3ya.example. 300 IN A 192.0.2.5",
	} {
		z.records = append(z.records, record(text))
	}
	for i := range 60 {
		z.records = append(z.records, record(fmt.Sprintf("big.example. 300 IN MX %d host-with-a-long-name-%d.example.", i, i)))
	}
	return z
}

func newResolver(t testing.TB, o Options) *Resolver {
	t.Helper()
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Second
	}
	s, err := Prepare(o)
	if err != nil {
		t.Fatal(err)
	}
	r, err := New(s, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func TestLookupMX(t *testing.T) {
	z := testZone()
	r := newResolver(t, Options{Servers: []netip.AddrPort{serve(t, z)}})
	tests := []struct {
		domain string
		want   []MX
		err    error
	}{
		{"two.example", []MX{{"a.two.example", 10}, {"b.two.example", 20}}, nil},
		{"TWO.example.", []MX{{"a.two.example", 10}, {"b.two.example", 20}}, nil},
		{"null.example", nil, ErrNullMX},
		{"odd.example", []MX{{"a.two.example", 5}}, nil},
		{"bare.example", nil, ErrNoData},
		{"alias.example", nil, ErrNoData},
		{"dangling.example", nil, ErrNotFound},
		{"missing.example", nil, ErrNotFound},
		{"broken.example", nil, ErrTemporary},
		{"refused.example", nil, ErrTemporary},
		{"loop.example", nil, ErrTemporary},
		{"a..example", nil, ErrNotFound},
		{"two.example..", nil, ErrNotFound},
		{"..", nil, ErrNotFound},
		{`two"example`, nil, ErrNotFound},
		{"", nil, ErrNotFound},
		{"with space.example", nil, ErrNotFound},
		{strings.Repeat("a", 64) + ".example", nil, ErrNotFound},
	}
	for _, test := range tests {
		got, _, err := r.LookupMX(t.Context(), test.domain)
		if !errors.Is(err, test.err) || !slices.Equal(got, test.want) {
			t.Errorf("%s: got %v, %v; want %v, %v", test.domain, got, err, test.want, test.err)
		}
	}
}

func TestLookupHost(t *testing.T) {
	z := testZone()
	r := newResolver(t, Options{Servers: []netip.AddrPort{serve(t, z)}})
	tests := []struct {
		name string
		want string
		err  error
	}{
		{"a.two.example", "2001:db8::1 192.0.2.1 192.0.2.2", nil},
		{"alias.example", "2001:db8::1 192.0.2.1 192.0.2.2", nil},
		{"lazy.example", "192.0.2.3", nil},
		{"münchen.example", "192.0.2.5", nil},
		{"192.0.2.9", "192.0.2.9", nil},
		{"[192.0.2.9]", "192.0.2.9", nil},
		{"[IPv6:2001:db8::9]", "2001:db8::9", nil},
		{"localhost", "::1 127.0.0.1", nil},
		{"text.example", "", ErrNoData},
		{"missing.example", "", ErrNotFound},
		{"broken.example", "", ErrTemporary},
	}
	for _, test := range tests {
		got, _, err := r.LookupHost(t.Context(), test.name)
		if text := strings.Trim(fmt.Sprint(got), "[]"); !errors.Is(err, test.err) || text != test.want {
			t.Errorf("%s: got %v, %v; want %v, %v", test.name, got, err, test.want, test.err)
		}
	}
}

// A family whose name servers are silent does not hold up the other.
func TestOneFamilyIsEnough(t *testing.T) {
	for mute, want := range map[uint16]string{
		dns.TypeAAAA: "[192.0.2.1 192.0.2.2] true",
		dns.TypeA:    "[2001:db8::1] true",
	} {
		z := signedZone()
		z.mute = mute
		r := newResolver(t, Options{Servers: []netip.AddrPort{serve(t, z)}, Timeout: time.Minute})
		start := time.Now()
		got, o, err := r.LookupHost(t.Context(), "a.two.example")
		if fmt.Sprint(got, o.Secure) != want || err != nil || time.Since(start) > 30*time.Second {
			t.Errorf("got %v, %v, %v after %v; want %s", got, o, err, time.Since(start), want)
		}
	}
}

func TestTruncatedAnswerIsFetchedOverTCP(t *testing.T) {
	z := testZone()
	r := newResolver(t, Options{Servers: []netip.AddrPort{serve(t, z)}})
	got, _, err := r.LookupMX(t.Context(), "big.example")
	if err != nil || len(got) != 60 || z.tcp.Load() != 1 {
		t.Errorf("got %d records, %v, %d questions over TCP", len(got), err, z.tcp.Load())
	}
}

func TestServerWithoutEDNS(t *testing.T) {
	z := testZone()
	z.noEDNS = true
	r := newResolver(t, Options{Servers: []netip.AddrPort{serve(t, z)}})
	if got, _, err := r.LookupMX(t.Context(), "two.example"); err != nil || len(got) != 2 {
		t.Errorf("got %v, %v", got, err)
	}
}

// A server that fails or is silent is passed over, and asked last from then on.
func TestNextServer(t *testing.T) {
	dead, bad, good := testZone(), testZone(), testZone()
	dead.silent = map[string]bool{"two.example.": true, "bare.example.": true}
	bad.rcodes["two.example."] = dns.RcodeServerFailure
	r := newResolver(t, Options{
		Servers: []netip.AddrPort{serve(t, dead), serve(t, bad), serve(t, good)},
		Timeout: 100 * time.Millisecond,
	})
	if got, _, err := r.LookupMX(t.Context(), "two.example"); err != nil || len(got) != 2 {
		t.Errorf("got %v, %v", got, err)
	}
	if _, _, err := r.LookupMX(t.Context(), "bare.example"); !errors.Is(err, ErrNoData) {
		t.Error(err)
	}
	if dead.asked.Load() != 1 {
		t.Errorf("the dead server was asked %d times, want once", dead.asked.Load())
	}
}

func TestSilenceIsTemporary(t *testing.T) {
	z := testZone()
	z.silent = map[string]bool{"two.example.": true}
	r := newResolver(t, Options{Servers: []netip.AddrPort{serve(t, z)}, Timeout: 50 * time.Millisecond})
	if _, _, err := r.LookupMX(t.Context(), "two.example"); !errors.Is(err, ErrTemporary) {
		t.Error(err)
	}
	if z.asked.Load() != 2 {
		t.Errorf("asked %d times, want 2", z.asked.Load())
	}
	if _, _, err := r.LookupMX(t.Context(), "two.example"); !errors.Is(err, ErrTemporary) || z.asked.Load() != 2 {
		t.Errorf("the failure was not remembered: %v, asked %d times", err, z.asked.Load())
	}
}

func TestCancel(t *testing.T) {
	z := testZone()
	z.silent, z.passedOver = map[string]bool{"two.example.": true}, make(chan struct{}, 1)
	r := newResolver(t, Options{Servers: []netip.AddrPort{serve(t, z)}, Timeout: time.Minute})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, _, err := r.LookupMX(ctx, "two.example")
		done <- err
	}()
	<-z.passedOver
	cancel()
	if err := <-done; !errors.Is(err, ErrTemporary) || !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	r.Close() // the question went on
	if r.cache.size() != 0 {
		t.Error("what was given up is remembered")
	}
	if _, _, err := r.LookupMX(t.Context(), "two.example"); !errors.Is(err, ErrTemporary) {
		t.Errorf("after the end: %v", err)
	}
}

func TestAnswersAreRemembered(t *testing.T) {
	z := testZone()
	r := newResolver(t, Options{Servers: []netip.AddrPort{serve(t, z)}})
	for range 3 {
		if _, _, err := r.LookupMX(t.Context(), "two.example"); err != nil {
			t.Fatal(err)
		}
		if _, _, err := r.LookupMX(t.Context(), "missing.example"); !errors.Is(err, ErrNotFound) {
			t.Fatal(err)
		}
	}
	if z.asked.Load() != 2 {
		t.Errorf("asked %d times, want 2", z.asked.Load())
	}
}

func TestResolvConf(t *testing.T) {
	path := t.TempDir() + "/resolv.conf"
	writeFile(t, path, "search corp.example\nnameserver 192.0.2.53\nnameserver 2001:db8::53\n")
	var s servers
	if err := s.open(Options{Config: path}); err != nil {
		t.Fatal(err)
	}
	now := s.looked
	expect := func(after time.Duration, want ...string) {
		t.Helper()
		now = now.Add(after)
		var got []string
		for _, server := range s.current(now) {
			got = append(got, server.address)
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
	expect(0, "192.0.2.53:53", "[2001:db8::53]:53")
	writeFile(t, path, "# nothing\n")
	touch(t, path, time.Hour)
	expect(time.Second, "192.0.2.53:53", "[2001:db8::53]:53")
	expect(reread, "127.0.0.1:53")
	writeFile(t, path, "nameserver junk\n")
	touch(t, path, 2*time.Hour)
	expect(reread, "127.0.0.1:53")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	expect(reread, "127.0.0.1:53")
	if _, err := Prepare(Options{Config: path}); err == nil || !strings.Contains(err.Error(), "dns.servers") {
		t.Errorf("got %v, want a hint at dns.servers", err)
	}
}

// touch sets the time of change: file systems may be too coarse to tell two
// writes of a test apart.
func touch(t *testing.T, path string, ahead time.Duration) {
	t.Helper()
	at := time.Now().Add(ahead)
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}
