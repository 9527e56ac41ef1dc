package egress

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"quorumta/internal/mail"
	"quorumta/internal/policy"
)

// Settings are how mail leaves by a transport. The zero Settings leave it to the
// system.
type Settings struct {
	// Helo is what we say in EHLO; nil, or an empty result, means the node's
	// host name, or that of the pool's address.
	Helo *policy.Text
	// Source is the address that connections come from; nil, or an empty
	// result, means the system's choice.
	Source *policy.Text
	// Pool names one of Pools, which gives address and name; nil, or an empty
	// result, means none.
	Pool  *policy.Text
	Pools map[string]Pool
	// Logins are tried in order: the first whose condition holds is used.
	Logins []Login
	Family Family
	Socks  []Socks
	Proxy  Proxy
	TLS    TLS
	// Connect is how long a connection may take; 0 means the site's.
	Connect time.Duration
	Limits  Limits
	Convert Convert
	// Silent leaves out TCP's own keep-alive.
	Silent bool
	// Node is our name, as pools know it; Local tells which addresses it has,
	// nil: all.
	Node  string
	Local func(netip.Addr) bool
}

// Limits are what connections are used for.
type Limits struct {
	// Messages is the most that a connection carries, Recipients the most in a
	// transaction; 0 leaves it to the server and to the limits of delivery.
	Messages, Recipients int
	// OneDomain has a transaction name recipients of one domain only.
	OneDomain bool
}

// Way is how the mail of one recipient leaves. It is not to be changed.
type Way struct {
	*Settings
	// Key tells ways apart, but for the transport: "" where nothing depends on
	// the recipient.
	Key string
	// Name is what we say in EHLO; "" means the node's host name.
	Name string
	// From4 and From6 are the addresses that connections come from, by family;
	// both unset: whichever the system chooses. Where only one is set, only
	// hosts of that family are reached.
	From4, From6 netip.Addr
	// Login is who logs in; nil: nobody.
	Login *Login
}

// ErrNoAddress: the node has no address of a pool, or not the one asked for.
var ErrNoAddress = errors.New("no address to send from")

// Way is what the settings come to for a recipient. What hangs on chance hangs
// on the message alone, so that each attempt of it comes from the same address
// as long as that is there: servers that greylist look at it.
func (s *Settings) Way(f *policy.Facts, id mail.MessageID) (*Way, error) {
	w := &Way{Settings: s}
	if err := s.from(w, f, id); err != nil {
		return nil, err
	}
	helo, err := s.Helo.Eval(f)
	if err != nil {
		return nil, fmt.Errorf("helo: %w", err)
	}
	if helo != "" {
		if !Heloable(helo) {
			return nil, fmt.Errorf("helo: %q is neither a host name nor an address literal", helo)
		}
		w.Name = helo
		w.Key += " helo=" + helo
	}
	for i := range s.Logins {
		l := &s.Logins[i]
		takes, err := l.If.Eval(f)
		if err != nil {
			return nil, fmt.Errorf("auth: %w", err)
		}
		if takes {
			w.Login = l
			w.Key += fmt.Sprintf(" auth=%d:%s", i, l.User)
			break
		}
	}
	return w, nil
}

// from finds the addresses to send from.
func (s *Settings) from(w *Way, f *policy.Facts, id mail.MessageID) error {
	name, err := s.Pool.Eval(f)
	if err != nil {
		return fmt.Errorf("pool: %w", err)
	}
	if name != "" {
		return s.fromPool(w, name, id)
	}
	text, err := s.Source.Eval(f)
	if err != nil || text == "" {
		return err
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return fmt.Errorf("source: %q is not an address", text)
	}
	if !s.has(addr) {
		return fmt.Errorf("%w: %s is not one of node %s", ErrNoAddress, addr, s.Node)
	}
	w.comesFrom(addr)
	w.Key = " from=" + addr.String()
	return nil
}

func (s *Settings) fromPool(w *Way, name string, id mail.MessageID) error {
	pool, ok := s.Pools[name]
	if !ok {
		return fmt.Errorf("there is no pool %s", name)
	}
	chosen := pool.choose(id, func(a *Address) bool {
		for _, addr := range a.Addrs {
			if !s.has(addr) {
				return false
			}
		}
		return a.on(s.Node)
	})
	if chosen == nil {
		return fmt.Errorf("%w: node %s has none of pool %s", ErrNoAddress, s.Node, name)
	}
	for _, addr := range chosen.Addrs {
		w.comesFrom(addr)
	}
	w.Name = chosen.Helo
	w.Key = " pool=" + name + "/" + chosen.Name
	return nil
}

func (w *Way) comesFrom(addr netip.Addr) {
	if addr = addr.Unmap(); addr.Is4() {
		w.From4 = addr
	} else {
		w.From6 = addr
	}
}

// has reports whether connections can come from an address: behind a proxy that
// makes them it need not be ours.
func (s *Settings) has(addr netip.Addr) bool {
	return s.Local == nil || s.Proxy.Server.IsValid() || s.Local(addr)
}

// source is the address that connections to another come from.
func (w *Way) source(to netip.Addr) netip.Addr {
	if to.Unmap().Is4() {
		return w.From4
	}
	return w.From6
}

// Heloable reports whether a name can stand in EHLO: a host name or an address
// literal (RFC 5321, section 4.1.1.1).
func Heloable(name string) bool {
	if literal, ok := strings.CutPrefix(name, "["); ok {
		literal = strings.TrimPrefix(strings.TrimSuffix(literal, "]"), "IPv6:")
		_, err := netip.ParseAddr(literal)
		return err == nil && strings.HasSuffix(name, "]")
	}
	odd := func(r rune) bool {
		return r != '.' && r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}
	return name != "" && len(name) <= 253 && !strings.ContainsFunc(name, odd) && !strings.Contains("."+name+".", "..")
}
