package dns

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// A server that does not keep the capitals of a question is asked over TCP,
// where nobody can slip an answer in.
func TestMangledCapitals(t *testing.T) {
	z := testZone()
	z.lower = true
	r := newResolver(t, Options{Servers: []netip.AddrPort{serve(t, z)}})
	name := strings.Repeat("abcdefgh.", 8) + "two.example" // by chance all lower once in 2^74
	if _, _, err := r.LookupMX(t.Context(), name); !errors.Is(err, ErrNotFound) || z.tcp.Load() != 1 {
		t.Errorf("got %v, %d questions over TCP", err, z.tcp.Load())
	}
}

// What does not answer the question is passed over until what does arrives.
func TestForgedAnswersArePassedOver(t *testing.T) {
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{PacketConn: packets, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		say := func(change func(*dns.Msg)) {
			m := new(dns.Msg)
			m.SetReply(q)
			m.Answer = []dns.RR{record("two.example. 300 IN MX 10 evil.example.")}
			change(m)
			_ = w.WriteMsg(m)
		}
		say(func(m *dns.Msg) { m.Id++ })
		say(func(m *dns.Msg) { m.Response = false })
		say(func(m *dns.Msg) { m.Question[0].Name = "one.example." })
		say(func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeA })
		say(func(m *dns.Msg) { m.Question = nil })
		say(func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify })
		say(func(m *dns.Msg) { m.Answer = []dns.RR{record("two.example. 300 IN MX 10 good.example.")} })
	})}
	started, ended := make(chan struct{}), make(chan struct{})
	server.NotifyStartedFunc = func() { close(started) }
	go func() { defer close(ended); _ = server.ActivateAndServe() }()
	<-started
	t.Cleanup(func() { _ = server.Shutdown(); <-ended })
	r := newResolver(t, Options{Servers: []netip.AddrPort{netip.MustParseAddrPort(packets.LocalAddr().String())}})
	if mx, _, err := r.LookupMX(t.Context(), "two.example"); err != nil || len(mx) != 1 || mx[0].Host != "good.example" {
		t.Errorf("got %v, %v", mx, err)
	}
}
