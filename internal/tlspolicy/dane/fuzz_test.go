package dane

import (
	"crypto/x509"
	"testing"
	"time"

	"quorumta/internal/dns"
)

// Whatever a record says: it is usable or not, and it matches nothing but what
// it was made of.
func FuzzVerify(f *testing.F) {
	f.Add(uint8(3), uint8(1), uint8(1), make([]byte, 32))
	f.Add(uint8(2), uint8(0), uint8(0), []byte{0x30, 0x82})
	f.Add(uint8(2), uint8(1), uint8(0), []byte{0x30, 0x59})
	f.Fuzz(func(t *testing.T, usage, selector, matching uint8, data []byte) {
		root := issue(t, nil, "root", nil)
		leaf := issue(t, root, "mx.example", nil)
		p := New("mx.example", 25, []dns.TLSA{{Usage: usage, Selector: selector, Matching: matching, Data: data}})
		if (p.Kind == Authenticate) != (len(p.Records) == 1) || p.Reason == "" {
			t.Fatalf("%+v", p)
		}
		if m, err := p.Verify([]*x509.Certificate{leaf.cert, root.cert}, time.Now()); err == nil {
			t.Fatalf("%s matches certificates that are a moment old", m)
		}
	})
}
