// Package egress holds the keys of the configuration that say how mail leaves by
// SMTP: those inside a transport's smtp, and the pools of addresses.
package egress

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"quorumta/internal/config/value"
)

// SMTP are the settings of a transport to the hosts of routers. Helo, Source and
// Pool are expressions.
type SMTP struct {
	Auth   Logins `yaml:"auth"`
	Helo   string `yaml:"helo"`
	Source string `yaml:"source"`
	Pool   string `yaml:"pool"`
	// IP is any, 4, 6, prefer4 or prefer6; "" means any.
	IP       string   `yaml:"ip"`
	TLS      TLS      `yaml:"tls"`
	Socks    []Socks  `yaml:"socks"`
	Proxy    Proxy    `yaml:"proxy"`
	Timeouts Timeouts `yaml:"timeouts"`
	// Messages is the most that a connection carries, Recipients the most in a
	// transaction; 0 leaves both to the limits of all mail.
	Messages   int `yaml:"connection_max_messages"`
	Recipients int `yaml:"max_rcpt"`
	// MultiDomain has a transaction name recipients of several domains; nil
	// means that it may.
	MultiDomain *bool `yaml:"multi_domain"`
	// EightBit is convert, try, leave or refuse, LongLines leave, repair or
	// refuse; "" means the first.
	EightBit  string `yaml:"eight_bit"`
	LongLines string `yaml:"long_lines"`
	// Keepalive is TCP's; nil means on.
	Keepalive *bool `yaml:"keepalive"`
}

// Logins are tried in order: the first whose condition holds is used. A single
// one may stand without the list.
type Logins []Login

// Alone marks lists of which a single row may stand without the list.
func (Logins) Alone() {}

// Login is who logs in at servers.
type Login struct {
	If   string `yaml:"if"`
	User string `yaml:"user"`
	// PasswordFile or TokenFile has what proves it on its first line.
	PasswordFile string `yaml:"password_file"`
	TokenFile    string `yaml:"token_file"`
	// Mechanisms are those of SASL that may be used, the best first.
	Mechanisms []string `yaml:"mechanisms"`
	// Over is verified, tls or clear; "" means verified.
	Over string `yaml:"over"`
}

// TLS is what is shown and accepted.
type TLS struct {
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
	CA   string `yaml:"ca"`
	// Min is 1.2 or 1.3; "" means 1.2.
	Min string `yaml:"min"`
	// Ciphers are suites of TLS 1.2 by IANA's names.
	Ciphers []string `yaml:"ciphers"`
}

// Socks is a SOCKS5 server.
type Socks struct {
	Address      string `yaml:"address"`
	Weight       int    `yaml:"weight"`
	User         string `yaml:"user"`
	PasswordFile string `yaml:"password_file"`
}

// Proxy is the PROXY protocol on the way out.
type Proxy struct {
	// Version is 1 or 2; 0 means none.
	Version int `yaml:"version"`
	// Server gets the connections in the hosts' place.
	Server string `yaml:"server"`
}

// Timeouts bound the phases of a session; 0 means the value of RFC 5321, section
// 4.5.3.2.
type Timeouts struct {
	Connect  value.Duration `yaml:"connect"`
	Greeting value.Duration `yaml:"greeting"`
	Hello    value.Duration `yaml:"hello"`
	TLS      value.Duration `yaml:"tls"`
	Mail     value.Duration `yaml:"mail"`
	Rcpt     value.Duration `yaml:"rcpt"`
	Data     value.Duration `yaml:"data"`
	Block    value.Duration `yaml:"block"`
	Dot      value.Duration `yaml:"dot"`
}

// Pool is a set of addresses that share the mail.
type Pool struct {
	Name      string    `yaml:"name"`
	Addresses []Address `yaml:"addresses"`
}

// Address is what servers see as one sender.
type Address struct {
	Name string `yaml:"name"`
	// Source is one address, or one of each family.
	Source []string `yaml:"source"`
	Helo   string   `yaml:"helo"`
	Weight int      `yaml:"weight"`
	Nodes  []string `yaml:"nodes"`
}

// Checker is where a file's keys are checked; it is used by one goroutine.
type Checker interface {
	// Fault notes what is wrong at a path.
	Fault(path, what, hint string)
	// Condition checks an expression for a condition, Text one for a text.
	Condition(path, expr string)
	Text(path, expr string)
	// Choice checks that a value is one of those that are allowed.
	Choice(path, value string, allowed ...string)
}

// Resolve makes paths absolute: they are relative to the file.
func (s *SMTP) Resolve(dir string) {
	paths := []*string{&s.TLS.Cert, &s.TLS.Key, &s.TLS.CA}
	for i := range s.Auth {
		paths = append(paths, &s.Auth[i].PasswordFile, &s.Auth[i].TokenFile)
	}
	for i := range s.Socks {
		paths = append(paths, &s.Socks[i].PasswordFile)
	}
	for _, p := range paths {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
}

// Check finds what the shape of the keys does not tell.
func (s *SMTP) Check(c Checker) {
	for i := range s.Auth {
		s.Auth[i].check(c, "auth["+strconv.Itoa(i)+"]", s.TLS.Cert != "")
	}
	for path, expr := range map[string]string{"helo": s.Helo, "source": s.Source, "pool": s.Pool} {
		if expr != "" {
			c.Text(path, expr)
		}
	}
	if s.Source != "" && s.Pool != "" {
		c.Fault("source", "source and pool exclude each other", "a pool has the addresses")
	}
	c.Choice("ip", s.IP, "", "any", "4", "6", "prefer4", "prefer6")
	c.Choice("eight_bit", s.EightBit, "", "convert", "try", "leave", "refuse")
	c.Choice("long_lines", s.LongLines, "", "leave", "repair", "refuse")
	s.TLS.check(c)
	for i := range s.Socks {
		s.Socks[i].check(c, "socks["+strconv.Itoa(i)+"]")
	}
	s.Proxy.check(c)
	for path, n := range map[string]int{"connection_max_messages": s.Messages, "max_rcpt": s.Recipients} {
		if n < 0 {
			c.Fault(path, path+" is at least 1", "leave it away for the usual limit")
		}
	}
}

// mechanisms are those of SASL that can be named.
var mechanisms = []string{
	"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-1", "OAUTHBEARER", "XOAUTH2", "PLAIN", "LOGIN", "EXTERNAL",
}

func (l *Login) check(c Checker, path string, certificate bool) {
	if l.If != "" {
		c.Condition(path+".if", l.If)
	}
	c.Choice(path+".over", l.Over, "", "verified", "tls", "clear")
	external := len(l.Mechanisms) > 0
	for i, name := range l.Mechanisms {
		c.Choice(path+".mechanisms["+strconv.Itoa(i)+"]", name, mechanisms...)
		external = external && name == "EXTERNAL"
	}
	switch {
	case l.PasswordFile != "" && l.TokenFile != "":
		c.Fault(path, "a login has a password or a token", "leave password_file or token_file away")
	case l.PasswordFile == "" && l.TokenFile == "" && !(external && certificate):
		c.Fault(path, "a login needs password_file or token_file", "or tls: {cert: …, key: …} beside it and mechanisms: [EXTERNAL]")
	case l.User == "" && !external:
		c.Fault(path, "user is missing", "who logs in?")
	}
	secret(c, path+".password_file", l.PasswordFile)
	secret(c, path+".token_file", l.TokenFile)
}

// secret checks that a file is there and its owner's alone. What is in it is
// read when it is needed, and never told.
func secret(c Checker, path, name string) {
	if name == "" {
		return
	}
	info, err := os.Stat(name)
	switch {
	case err != nil:
		c.Fault(path, "cannot read "+name, "paths are relative to the file")
	case info.Mode().Perm()&0o077 != 0:
		c.Fault(path, fmt.Sprintf("%s may be read by others (mode %o)", name, info.Mode().Perm()), "chmod 600 it")
	}
}

func (t *TLS) check(c Checker) {
	if (t.Cert == "") != (t.Key == "") {
		c.Fault("tls", "a client certificate needs cert and key", "")
	}
	secret(c, "tls.key", t.Key)
	for path, name := range map[string]string{"tls.cert": t.Cert, "tls.ca": t.CA} {
		if name == "" {
			continue
		}
		if _, err := os.Stat(name); err != nil {
			c.Fault(path, "cannot read "+name, "paths are relative to the file")
		}
	}
	c.Choice("tls.min", t.Min, "", "1.2", "1.3")
	known := slices.Collect(names)
	for i, name := range t.Ciphers {
		c.Choice("tls.ciphers["+strconv.Itoa(i)+"]", name, known...)
	}
	if t.Min == "1.3" && len(t.Ciphers) > 0 {
		c.Fault("tls.ciphers", "the suites of TLS 1.3 cannot be chosen", "they are all good: leave ciphers away")
	}
}

// names are the suites of TLS 1.2 that can be chosen.
func names(yield func(string) bool) {
	for _, s := range tls.CipherSuites() {
		if s.SupportedVersions[0] == tls.VersionTLS12 || len(s.SupportedVersions) > 1 {
			if !yield(s.Name) {
				return
			}
		}
	}
}

// Suites are the numbers of the ciphers; nil for all.
func (t *TLS) Suites() []uint16 {
	var ids []uint16
	for _, s := range tls.CipherSuites() {
		if slices.Contains(t.Ciphers, s.Name) {
			ids = append(ids, s.ID)
		}
	}
	return ids
}

// Version is the number of the lowest version; 0 for the usual one.
func (t *TLS) Version() uint16 {
	return map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}[t.Min]
}

func (s *Socks) check(c Checker, path string) {
	if _, err := netip.ParseAddrPort(s.Address); err != nil {
		c.Fault(path+".address", strconv.Quote(s.Address)+" is not an address and port", "write 10.0.0.1:1080; a name would have to be looked up")
	}
	if (s.User == "") != (s.PasswordFile == "") {
		c.Fault(path, "a login needs user and password_file", "")
	}
	if s.Weight < 0 {
		c.Fault(path+".weight", "a weight is at least 1", "")
	}
	secret(c, path+".password_file", s.PasswordFile)
}

func (p *Proxy) check(c Checker) {
	if p.Version < 0 || p.Version > 2 {
		c.Fault("proxy.version", "there are versions 1 and 2", "")
	}
	if p.Server == "" {
		return
	}
	if _, err := netip.ParseAddrPort(p.Server); err != nil {
		c.Fault("proxy.server", strconv.Quote(p.Server)+" is not an address and port", "write 10.0.0.1:2525")
	}
	if p.Version == 0 {
		c.Fault("proxy", "version is missing", "write version: 2")
	}
}

// Check finds what the shape of a pool does not tell.
func (p *Pool) Check(c Checker) {
	if len(p.Addresses) == 0 {
		c.Fault("", "a pool has addresses", "write addresses: [{name: a, source: [192.0.2.10], helo: a.example}]")
	}
	seen := map[string]bool{}
	for i := range p.Addresses {
		a := &p.Addresses[i]
		path := "addresses[" + strconv.Itoa(i) + "]"
		switch {
		case a.Name == "":
			c.Fault(path, "name is missing", "it stands in the names of sites")
		case seen[a.Name]:
			c.Fault(path+".name", "the name "+a.Name+" is used twice", "")
		}
		seen[a.Name] = true
		a.check(c, path)
	}
}

func (a *Address) check(c Checker, path string) {
	families := map[bool]bool{}
	for i, text := range a.Source {
		at := path + ".source[" + strconv.Itoa(i) + "]"
		addr, err := netip.ParseAddr(text)
		switch {
		case err != nil:
			c.Fault(at, strconv.Quote(text)+" is not an address", "")
		case families[addr.Unmap().Is4()]:
			c.Fault(at, "a second address of the same family", "make an address of the pool of each")
		}
		families[addr.Unmap().Is4()] = true
	}
	if len(a.Source) == 0 {
		c.Fault(path, "source is missing", "write source: [192.0.2.10]")
	}
	if a.Weight < 0 {
		c.Fault(path+".weight", "a weight is at least 1", "")
	}
	if a.Helo != "" && (strings.ContainsFunc(a.Helo, func(r rune) bool { return r <= ' ' || r >= 0x7f }) || len(a.Helo) > 253) {
		c.Fault(path+".helo", strconv.Quote(a.Helo)+" is not a host name", "")
	}
}
