package dane

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"quorumta/internal/dns"
)

// Resolver is the part of dns.Resolver that Find asks; called from many
// goroutines. Errors are those of package dns.
type Resolver interface {
	LookupHost(ctx context.Context, name string) ([]netip.Addr, dns.Origin, error)
	LookupCNAME(ctx context.Context, name string) (dns.Origin, error)
	LookupTLSA(ctx context.Context, host string, port uint16) ([]dns.TLSA, dns.Origin, error)
}

// Hop is the host that mail is to be given to. It is either named by an MX
// record whose look-up was secure, or by the operator, or the domain itself
// where that has no MX record: what an insecure MX record names is not asked
// about, as whoever forged it would answer (RFC 7672, section 2.2.1).
type Hop struct {
	Host string
	Port uint16
	// Names are the domain by which the MX record was found and, where that is
	// an alias, the name where the record stands; none where there is no MX
	// record. The host's certificate may be for them (RFC 7672, section 3.2.2).
	Names []string
}

// Find asks what DANE demands of connections to a host (RFC 7672, section 2.2).
// An *Error means that nothing may be sent there now. The addresses are asked
// for first: name servers of unsigned zones exist that fail for TLSA, and what
// is insecure has no secure TLSA records below it.
func Find(ctx context.Context, r Resolver, hop Hop) (Policy, error) {
	if _, err := netip.ParseAddr(hop.Host); err == nil {
		return none("an address has no TLSA records"), nil
	}
	_, origin, err := r.LookupHost(ctx, hop.Host)
	if err != nil {
		return Policy{}, failed("the addresses of "+hop.Host+" cannot be looked up", err)
	}
	bases, err := candidates(ctx, r, hop.Host, origin)
	if err != nil {
		return Policy{}, err
	}
	if len(bases) == 0 {
		return none("the addresses of " + hop.Host + " are not secured by DNSSEC"), nil
	}
	for _, base := range bases {
		records, origin, err := r.LookupTLSA(ctx, base, hop.Port)
		switch {
		case errors.Is(err, dns.ErrNotFound), errors.Is(err, dns.ErrNoData):
			continue
		case err != nil:
			return Policy{}, failed(fmt.Sprintf("the TLSA records of %s, port %d, cannot be looked up", base, hop.Port), err)
		case origin.Secure:
			return New(base, hop.Port, records, hop.Names...), nil
		}
	}
	return none(fmt.Sprintf("%s, port %d, has no secure TLSA records", hop.Host, hop.Port)), nil
}

// candidates are the names that may have TLSA records (RFC 7672, section
// 2.2.2): where the whole chain of aliases is secure its end, then the name
// itself; the name itself also where only the first alias is secure.
func candidates(ctx context.Context, r Resolver, host string, origin dns.Origin) ([]string, error) {
	own := dns.Canonical(host)
	switch {
	case origin.Name == own && origin.Secure:
		return []string{own}, nil
	case origin.Name == own:
		return nil, nil
	case origin.Secure:
		return []string{origin.Name, own}, nil
	}
	alias, err := r.LookupCNAME(ctx, host)
	switch {
	case err != nil && !errors.Is(err, dns.ErrNotFound) && !errors.Is(err, dns.ErrNoData):
		return nil, failed("the alias "+host+" cannot be looked up", err)
	case err == nil && alias.Secure:
		return []string{own}, nil
	}
	return nil, nil
}

func none(reason string) Policy { return Policy{Kind: None, Reason: reason} }

func failed(text string, err error) *Error {
	return &Error{Result: ResultDNSSEC, Text: text, Err: err}
}
