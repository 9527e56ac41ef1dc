package main

import (
	"quorumta/delivery/site"
	"quorumta/delivery/smtpc"
	"quorumta/delivery/transport/discard"
	"quorumta/delivery/transport/lmtp"
	"quorumta/internal/config"
)

// transports are the ways in which mail goes that a file names.
func transports(f *config.File) map[string]site.Transport {
	list := map[string]site.Transport{}
	for _, t := range f.Transports {
		switch {
		case t.Discard != nil:
			list[t.Name] = site.Transport{Local: discard.Transport{}}
		case t.Hosts():
			o := sessions(f)
			o.LMTP = true
			list[t.Name] = site.Transport{SMTP: o}
		case t.LMTP != nil:
			list[t.Name] = site.Transport{Local: lmtp.New(lmtp.Options{Socket: t.LMTP.Socket, SMTP: sessions(f)})}
		}
	}
	return list
}

// sessions is how a node speaks to servers.
func sessions(f *config.File) smtpc.Options { return smtpc.Options{Hostname: f.Hostname} }

// defaultPort is that of hosts without one: 24 for LMTP, which must not use that
// of SMTP (RFC 2033, section 5).
func defaultPort(f *config.File, transport string) uint16 {
	for _, t := range f.Transports {
		if t.Name == transport && t.LMTP != nil {
			return 24
		}
	}
	return 25
}
