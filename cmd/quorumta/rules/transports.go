package rules

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"quorumta/delivery/site"
	"quorumta/delivery/smtpc"
	"quorumta/delivery/transport"
	"quorumta/delivery/transport/discard"
	"quorumta/delivery/transport/lmtp"
	"quorumta/delivery/transport/local"
	"quorumta/delivery/transport/maildir"
	"quorumta/delivery/transport/owner"
	"quorumta/delivery/transport/pipe"
	"quorumta/delivery/transport/webhook"
	"quorumta/internal/config"
	"quorumta/internal/policy"
)

// Transports are the ways in which mail goes that a file names. The error is a
// config.Faults where it is the operator's.
func Transports(f *config.File) (map[string]site.Transport, error) {
	list := map[string]site.Transport{}
	var faults config.Faults
	for i, t := range f.Transports {
		if t.SMTP != nil {
			how, err := leaving(f, t.SMTP)
			if err != nil {
				return nil, fmt.Errorf("transport %s: %w", t.Name, err)
			}
			list[t.Name] = how
			continue
		}
		if t.Hosts() {
			o := Sessions(f)
			o.LMTP = true
			list[t.Name] = site.Transport{SMTP: o}
			continue
		}
		way, err := opener(f, fmt.Sprintf("transports[%d]", i), &t)
		var found config.Faults
		if err != nil && !errors.As(err, &found) {
			return nil, err
		}
		faults = append(faults, found...)
		list[t.Name] = site.Transport{Local: way, Recipients: t.Recipients()}
	}
	if len(faults) > 0 {
		return nil, faults
	}
	return list, nil
}

// opener makes a transport without hosts, of which path is the place in the file.
func opener(f *config.File, path string, t *config.Transport) (transport.Opener, error) {
	switch {
	case t.LMTP != nil:
		return lmtp.New(lmtp.Options{Socket: t.LMTP.Socket, SMTP: Sessions(f)}), nil
	case t.Maildir != nil:
		return boxes(f, path+".maildir", t.Maildir)
	case t.Pipe != nil:
		return command(f, path+".pipe", t.Pipe)
	case t.HTTP != nil:
		return hook(f, path+".http", t.HTTP)
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
	if m.Path != "" {
		if o.Path, err = f.Env().Text(m.Path, config.RouterFacts()...); err != nil {
			return nil, fmt.Errorf("%s.path: %w", path, err)
		}
	}
	if o.Owner, err = owner.Lookup(m.User); err != nil {
		return nil, f.Fault(path+".user", err.Error())
	}
	return maildir.New(o), nil
}

// command makes a transport to a command.
func command(f *config.File, path string, p *config.Pipe) (transport.Opener, error) {
	o := pipe.Options{
		Timeout: time.Duration(p.Timeout), Output: int(p.Output),
		Temporary: p.Temporary, Processes: p.Processes, Environment: map[string]local.Template{},
		Spool: filepath.Join(f.Data, "spool"),
	}
	for i, a := range p.Command {
		if i == 0 {
			o.Command = a
			continue
		}
		x, err := template(f, fmt.Sprintf("%s.command[%d]", path, i), a)
		if err != nil {
			return nil, err
		}
		o.Arguments = append(o.Arguments, x)
	}
	for name, value := range p.Environment {
		x, err := template(f, path+".environment."+name, value)
		if err != nil {
			return nil, err
		}
		o.Environment[name] = x
	}
	var err error
	if o.Owner, err = owner.Lookup(p.User); err != nil {
		return nil, f.Fault(path+".user", err.Error())
	}
	if o.Owner.UID() == 0 {
		return nil, f.Fault(path, "the command would run as root: write user: NAME")
	}
	return pipe.New(o), nil
}

// hook makes a transport to a web server.
func hook(f *config.File, path string, h *config.HTTP) (transport.Opener, error) {
	o := webhook.Options{Timeout: time.Duration(h.Timeout), Headers: map[string]local.Template{}}
	_, rest, _ := strings.Cut(h.URL, "://")
	o.Host, _, _ = strings.Cut(rest, "/")
	if strings.Contains(o.Host, "$") { // another one for each recipient
		o.Host = ""
	}
	var err error
	if o.URL, err = template(f, path+".url", h.URL); err != nil {
		return nil, err
	}
	for name, value := range h.Headers {
		x, err := template(f, path+".headers."+name, value)
		if err != nil {
			return nil, err
		}
		o.Headers[name] = x
	}
	if h.CA != "" {
		pem, err := os.ReadFile(h.CA)
		if err != nil {
			return nil, f.Fault(path+".ca", err.Error())
		}
		o.TLS = &tls.Config{RootCAs: x509.NewCertPool()}
		if !o.TLS.RootCAs.AppendCertsFromPEM(pem) {
			return nil, f.Fault(path+".ca", h.CA+" has no certificate in PEM")
		}
	}
	return webhook.New(o), nil
}

// template reads a text with ${expressions}.
func template(f *config.File, path, text string) (local.Template, error) {
	x, err := local.Parse(text, func(expr string) (*policy.Text, error) { return f.Env().Text(expr, config.RouterFacts()...) })
	if err != nil {
		return x, f.Fault(path, err.Error())
	}
	return x, nil
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
