package rules

import (
	"errors"
	"fmt"

	"quorumta/delivery/site"
	"quorumta/delivery/smtpc"
	"quorumta/delivery/transport"
	"quorumta/delivery/transport/discard"
	"quorumta/delivery/transport/lmtp"
	"quorumta/delivery/transport/maildir"
	"quorumta/delivery/transport/owner"
	"quorumta/internal/config"
)

// Transports are the ways in which mail goes that a file names. The error is a
// config.Faults where it is the operator's.
func Transports(f *config.File) (map[string]site.Transport, error) {
	list := map[string]site.Transport{}
	var faults config.Faults
	for i, t := range f.Transports {
		if t.Hosts() {
			o := Sessions(f)
			o.LMTP = true
			list[t.Name] = site.Transport{SMTP: o}
			continue
		}
		opener, err := local(f, fmt.Sprintf("transports[%d]", i), &t)
		var found config.Faults
		if err != nil && !errors.As(err, &found) {
			return nil, err
		}
		faults = append(faults, found...)
		list[t.Name] = site.Transport{Local: opener}
	}
	if len(faults) > 0 {
		return nil, faults
	}
	return list, nil
}

// local makes a transport without hosts, of which path is the place in the file.
func local(f *config.File, path string, t *config.Transport) (transport.Opener, error) {
	switch {
	case t.LMTP != nil:
		return lmtp.New(lmtp.Options{Socket: t.LMTP.Socket, SMTP: Sessions(f)}), nil
	case t.Maildir != nil:
		return boxes(f, path+".maildir", t.Maildir)
	}
	return discard.Transport{}, nil
}

// boxes makes a transport into Maildirs.
func boxes(f *config.File, path string, m *config.Maildir) (transport.Opener, error) {
	o := maildir.Options{
		Hostname: f.Hostname,
		Quota:    maildir.Quota{Bytes: int64(m.Quota), Messages: int64(m.QuotaMessages)},
	}
	var err error
	if o.Path, err = f.Env().Text(m.Path, config.RouterFacts()...); err != nil {
		return nil, fmt.Errorf("%s.path: %w", path, err)
	}
	if o.Owner, err = owner.Lookup(m.User); err != nil {
		return nil, f.Fault(path+".user", err.Error())
	}
	return maildir.New(o), nil
}

// Sessions is how a node speaks to servers.
func Sessions(f *config.File) smtpc.Options { return smtpc.Options{Hostname: f.Hostname} }

// DefaultPort is that of hosts without one: 24 for LMTP, which must not use that
// of SMTP (RFC 2033, section 5).
func DefaultPort(f *config.File, transport string) uint16 {
	for _, t := range f.Transports {
		if t.Name == transport && t.LMTP != nil {
			return 24
		}
	}
	return 25
}
