package dns

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// LookupMX returns the domain's mail exchangers by ascending preference.
// ErrNoData means that the domain exists and has none: its addresses stand in
// (RFC 5321, section 5.1).
func (r *Resolver) LookupMX(ctx context.Context, domain string) ([]MX, Origin, error) {
	records, origin, err := find[*dns.MX](ctx, r, domain, dns.TypeMX)
	var out []MX
	for _, mx := range records {
		if host := Canonical(mx.Mx); host != "" {
			out = append(out, MX{Host: host, Preference: mx.Preference})
		}
	}
	// RFC 7505, section 3: a null MX means what it says only where it is alone.
	if len(out) == 0 && len(records) > 0 {
		return nil, origin, fmt.Errorf("MX of %s: %w", domain, ErrNullMX)
	}
	slices.SortStableFunc(out, func(a, b MX) int { return int(a.Preference) - int(b.Preference) })
	return out, origin, err
}

// LookupSRV returns the servers of a service, whose name is like
// _submission._tcp.example.com, by ascending priority; it is ErrNoService
// where the domain says that there is none.
func (r *Resolver) LookupSRV(ctx context.Context, service string) ([]SRV, Origin, error) {
	records, origin, err := find[*dns.SRV](ctx, r, service, dns.TypeSRV)
	var out []SRV
	for _, srv := range records {
		if host := Canonical(srv.Target); host != "" {
			out = append(out, SRV{Target: host, Port: srv.Port, Priority: srv.Priority, Weight: srv.Weight})
		}
	}
	if len(out) == 0 && len(records) > 0 {
		return nil, origin, fmt.Errorf("SRV of %s: %w", service, ErrNoService)
	}
	slices.SortStableFunc(out, func(a, b SRV) int { return int(a.Priority) - int(b.Priority) })
	return out, origin, err
}

// LookupTXT returns the name's texts, the strings of each record joined.
func (r *Resolver) LookupTXT(ctx context.Context, name string) ([]string, Origin, error) {
	records, origin, err := find[*dns.TXT](ctx, r, name, dns.TypeTXT)
	var out []string
	for _, txt := range records {
		out = append(out, unescape(strings.Join(txt.Txt, "")))
	}
	return out, origin, err
}

// LookupTLSA returns the TLSA records of a TCP port of a host (RFC 6698,
// section 3).
func (r *Resolver) LookupTLSA(ctx context.Context, host string, port uint16) ([]TLSA, Origin, error) {
	records, origin, err := find[*dns.TLSA](ctx, r, fmt.Sprintf("_%d._tcp.%s", port, host), dns.TypeTLSA)
	var out []TLSA
	for _, tlsa := range records {
		data, err := hex.DecodeString(tlsa.Certificate)
		if err != nil {
			continue // the parser of the wire format makes none
		}
		out = append(out, TLSA{Usage: tlsa.Usage, Selector: tlsa.Selector, Matching: tlsa.MatchingType, Data: data})
	}
	return out, origin, err
}

// LookupCNAME returns the name that the given one is an alias of, and whether
// that one step is secure: the rest of the chain may be not (RFC 7672, section
// 2.2.2, "insecure CNAME"). ErrNoData means that it is none.
func (r *Resolver) LookupCNAME(ctx context.Context, name string) (Origin, error) {
	records, origin, err := find[*dns.CNAME](ctx, r, name, dns.TypeCNAME)
	if err != nil {
		return origin, err
	}
	return Origin{Name: Canonical(records[0].Target), Secure: origin.Secure}, nil
}

// patience is how long the addresses of one family wait for those of the other
// (RFC 8305, section 3, which thinks of people and takes 50 ms). What comes
// later is remembered for the next time.
const patience = time.Second

// LookupHost returns the name's addresses, IPv6 first; a literal address is
// returned as it is. Name servers exist that fail for AAAA alone, or are slow to
// do so: one family is enough.
func (r *Resolver) LookupHost(ctx context.Context, name string) ([]netip.Addr, Origin, error) {
	if addrs := local(name); addrs != nil {
		return addrs, Origin{Name: Canonical(name)}, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // whoever is late waits no longer
	six := make(chan family[*dns.AAAA], 1)
	four := make(chan family[*dns.A], 1)
	go func() { six <- findFamily[*dns.AAAA](ctx, r, name, dns.TypeAAAA) }()
	go func() { four <- findFamily[*dns.A](ctx, r, name, dns.TypeA) }()
	var v6 family[*dns.AAAA]
	var v4 family[*dns.A]
	select {
	case v6 = <-six:
		v4 = wait(four, len(v6.records) > 0)
	case v4 = <-four:
		v6 = wait(six, len(v4.records) > 0)
	}
	var out []netip.Addr
	for _, record := range v6.records {
		out = appendAddr(out, record.AAAA.To16())
	}
	for _, record := range v4.records {
		out = appendAddr(out, record.A.To4())
	}
	switch {
	case len(v6.records) > 0 && len(v4.records) > 0:
		return out, Origin{Name: v6.origin.Name, Secure: v6.origin.Secure && v4.origin.Secure}, nil
	case len(v6.records) > 0:
		return out, v6.origin, nil
	case len(v4.records) > 0:
		return out, v4.origin, nil
	}
	v4.origin.Secure = v4.origin.Secure && v6.origin.Secure
	return nil, v4.origin, worse(v6.err, v4.err)
}

// family is what the look-up of one address family came to.
type family[T dns.RR] struct {
	records []T
	origin  Origin
	err     error
}

func findFamily[T dns.RR](ctx context.Context, r *Resolver, name string, qtype uint16) family[T] {
	records, origin, err := find[T](ctx, r, name, qtype)
	return family[T]{records, origin, err}
}

// wait returns what comes; where it is not needed it must come soon.
func wait[T dns.RR](coming <-chan family[T], enough bool) family[T] {
	if !enough {
		return <-coming
	}
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case f := <-coming:
		return f
	case <-late.C:
		return family[T]{err: ErrTemporary}
	}
}

func appendAddr(list []netip.Addr, ip []byte) []netip.Addr {
	addr, ok := netip.AddrFromSlice(ip)
	if !ok || slices.Contains(list, addr) {
		return list
	}
	return append(list, addr)
}

// find looks up the records of one type.
func find[T dns.RR](ctx context.Context, r *Resolver, name string, qtype uint16) ([]T, Origin, error) {
	fqdn, err := absolute(name)
	if err != nil {
		return nil, Origin{}, err
	}
	a := r.lookup(ctx, question{fqdn, qtype})
	if a.err != nil {
		return nil, a.origin, fmt.Errorf("%s of %s: %w", dns.TypeToString[qtype], name, a.err)
	}
	out := make([]T, 0, len(a.records))
	for _, record := range a.records {
		if record, ok := record.(T); ok {
			out = append(out, record)
		}
	}
	return out, a.origin, nil
}

// worse is what two look-ups without an address come to: as long as one may
// still succeed, nothing is final.
func worse(a, b error) error {
	for _, err := range []error{a, b} {
		if !final(err) {
			return err
		}
	}
	if errors.Is(a, ErrNotFound) {
		return a
	}
	return b
}
