package smtp

import (
	"crypto/tls"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"quorumta/internal/mail"
	"quorumta/queue/event"
)

// receivedField is the trace field that goes before a message (RFC 5321,
// section 4.4):
//
//	Received: from helo (name [address])
//		by hostname with ESMTPS id 01j…
//		for <only@recipient>
//		tls TLS_AES_128_GCM_SHA256
//		priority 3;
//		Mon, 23 Nov 2026 12:00:00 +0000
//
// The clause tls is that of RFC 8314, section 4.3, priority that of RFC 6710. Recipients are named only
// where there is one: the others must not learn of each other.
func receivedField(hostname string, c event.Client, e *mail.Envelope, cipher string, id mail.MessageID, at time.Time) []byte {
	var b strings.Builder
	b.WriteString("Received: from " + c.Helo + " (")
	if c.Name != "" {
		b.WriteString(c.Name + " ")
	}
	b.WriteString(literal(c.IP) + ")\r\n\tby " + hostname + " with " + c.Protocol + " id " + string(id))
	if len(e.Recipients) == 1 {
		b.WriteString("\r\n\tfor <" + e.Recipients[0].Address.String() + ">")
	}
	if cipher != "" {
		b.WriteString("\r\n\ttls " + cipher)
	}
	if e.Priority != 0 {
		b.WriteString("\r\n\tpriority " + strconv.Itoa(int(e.Priority)))
	}
	b.WriteString(";\r\n\t" + at.UTC().Format("Mon, 2 Jan 2006 15:04:05 -0700") + "\r\n")
	return []byte(b.String())
}

// literal is an address literal (RFC 5321, section 4.1.3).
func literal(ip string) string {
	a, err := netip.ParseAddr(ip)
	switch {
	case err != nil:
		return "unknown"
	case a.Is6():
		return "[IPv6:" + ip + "]"
	}
	return "[" + ip + "]"
}

// protocolName is the with clause: RFC 3848 and RFC 6531, section 4.3.
func protocolName(extended, utf8, secure bool) string {
	name := "SMTP"
	switch {
	case !extended:
		return name
	case utf8:
		name = "UTF8SMTP"
	default:
		name = "ESMTP"
	}
	if secure {
		name += "S"
	}
	return name
}

// tlsNames are version and cipher suite, and the suite alone; "" in the clear.
func tlsNames(s *tls.ConnectionState) (both, cipher string) {
	if s == nil {
		return "", ""
	}
	cipher = tls.CipherSuiteName(s.CipherSuite)
	return tls.VersionName(s.Version) + " " + cipher, cipher
}
