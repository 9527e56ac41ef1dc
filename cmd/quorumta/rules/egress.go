package rules

import (
	"fmt"
	"net/netip"
	"time"

	"quorumta/delivery/egress"
	"quorumta/delivery/site"
	"quorumta/delivery/smtpc"
	"quorumta/internal/config"
	keys "quorumta/internal/config/egress"
)

// leaving compiles the settings of a transport that speaks SMTP.
func leaving(f *config.File, s *keys.SMTP) (site.Transport, error) {
	out := &egress.Settings{
		Family: egress.Family(s.IP), Pools: pools(f),
		TLS:     egress.TLS{Cert: s.TLS.Cert, Key: s.TLS.Key, CA: s.TLS.CA, Min: s.TLS.Version(), Ciphers: s.TLS.Suites()},
		Proxy:   egress.Proxy{Version: s.Proxy.Version, Server: server(s.Proxy.Server)},
		Connect: time.Duration(s.Timeouts.Connect),
		Limits:  egress.Limits{Messages: s.Messages, Recipients: s.Recipients, OneDomain: s.MultiDomain != nil && !*s.MultiDomain},
		Convert: egress.Convert{EightBit: egress.EightBit(s.EightBit), LongLines: egress.Lines(s.LongLines)},
		Silent:  s.Keepalive != nil && !*s.Keepalive,
		Node:    f.Node, Local: new(egress.Interfaces).Has,
	}
	for _, x := range s.Socks {
		out.Socks = append(out.Socks, egress.Socks{Server: server(x.Address), Weight: x.Weight, User: x.User, PasswordFile: x.PasswordFile})
	}
	if err := expressions(f, s, out); err != nil {
		return site.Transport{}, err
	}
	how := Sessions(f)
	how.Timeouts = timeouts(&s.Timeouts)
	return site.Transport{Egress: out, SMTP: how}, nil
}

func expressions(f *config.File, s *keys.SMTP, out *egress.Settings) error {
	for _, x := range s.Auth {
		c, err := f.Env().Condition(x.If)
		if err != nil {
			return fmt.Errorf("auth: %w", err)
		}
		out.Logins = append(out.Logins, egress.Login{
			If: c, User: x.User, PasswordFile: x.PasswordFile, TokenFile: x.TokenFile, Mechanisms: x.Mechanisms, Over: egress.Trust(x.Over),
		})
	}
	var err error
	if s.Helo != "" {
		if out.Helo, err = f.Env().Text(s.Helo); err != nil {
			return fmt.Errorf("helo: %w", err)
		}
	}
	if s.Source != "" {
		if out.Source, err = f.Env().Text(s.Source); err != nil {
			return fmt.Errorf("source: %w", err)
		}
	}
	if s.Pool != "" {
		if out.Pool, err = f.Env().Text(s.Pool); err != nil {
			return fmt.Errorf("pool: %w", err)
		}
	}
	return nil
}

// pools are those of a file, by name.
func pools(f *config.File) map[string]egress.Pool {
	all := map[string]egress.Pool{}
	for _, p := range f.Pools {
		var list []egress.Address
		for _, a := range p.Addresses {
			x := egress.Address{Name: a.Name, Helo: a.Helo, Weight: a.Weight, Nodes: a.Nodes}
			for _, text := range a.Source {
				if addr, err := netip.ParseAddr(text); err == nil { // the file was checked
					x.Addrs = append(x.Addrs, addr)
				}
			}
			list = append(list, x)
		}
		all[p.Name] = egress.Pool{Addresses: list}
	}
	return all
}

// server is the address of one; the file was checked.
func server(text string) netip.AddrPort {
	addr, _ := netip.ParseAddrPort(text)
	return addr
}

func timeouts(t *keys.Timeouts) smtpc.Timeouts {
	return smtpc.Timeouts{
		Greeting: time.Duration(t.Greeting), Hello: time.Duration(t.Hello), TLS: time.Duration(t.TLS),
		Mail: time.Duration(t.Mail), Rcpt: time.Duration(t.Rcpt), Data: time.Duration(t.Data),
		Block: time.Duration(t.Block), Dot: time.Duration(t.Dot),
	}
}
