package rules

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"quorumta/delivery/outgoing"
	"quorumta/internal/config"
	"quorumta/internal/dns"
	"quorumta/internal/mailauth/arc"
	"quorumta/internal/mailauth/canon"
	"quorumta/internal/mailauth/dkim"
	"quorumta/internal/mailauth/keyfile"
	"quorumta/internal/policy"
)

// Keys are the private keys for signatures; log is told of a file that has
// changed and cannot be used.
func Keys(log *slog.Logger) *outgoing.Keys {
	return keyfile.New(dkim.ParseKey, time.Now, func(path string, err error) {
		log.Error("the key is not taken: the old one stays", "file", path, "error", err)
	})
}

// Outgoing compiles what a file does to messages on their way out; lookup finds
// the keys of ARC. Keys whose names are constants are read now: what is wrong
// with them is the operator's fault, a config.Faults.
func Outgoing(f *config.File, keys *outgoing.Keys, lookup arc.Lookup) (*outgoing.Rules, error) {
	returns, err := Returns(f)
	if err != nil {
		return nil, err
	}
	rewrites, err := Rewrites(f)
	if err != nil {
		return nil, err
	}
	r := &outgoing.Rules{Rewrites: rewrites, Returns: returns}
	for i := range f.DKIM {
		d := &f.DKIM[i]
		s := outgoing.Signer{
			Name: d.Name, Optional: d.Optional, Sign: d.Headers, Oversign: d.Oversign, Expire: time.Duration(d.Expire),
			Canon: canon.Pair{Header: canon.Relaxed, Body: canon.Relaxed},
		}
		if d.Canon != "" {
			s.Canon, _ = canon.ParsePair(d.Canon)
		}
		if s.Sign == nil {
			s.Sign = dkim.DefaultSign()
		}
		if s.Oversign == nil {
			s.Oversign = dkim.DefaultOversign()
		}
		texts := texts{d.If, d.Domain, d.Selector, d.Identity, d.Key}
		if err := texts.into(f, "dkim["+strconv.Itoa(i)+"]", &s, keys); err != nil {
			return nil, err
		}
		r.Sign = append(r.Sign, s)
	}
	for i := range f.ARC {
		a := &f.ARC[i]
		s := outgoing.Sealer{
			Signer: outgoing.Signer{
				Name: a.Name, Optional: a.Optional, Sign: a.Headers,
				Canon: canon.Pair{Header: canon.Relaxed, Body: canon.Relaxed},
			},
			Servers: append([]string{or(a.Server, f.Hostname)}, a.Trust...), Lookup: lookup,
		}
		if s.Sign == nil { // one relay's seal must outlive what the next one adds
			s.Sign = append(append([]string{"DKIM-Signature"}, dkim.DefaultOversign()...), dkim.DefaultSign()...)
		}
		texts := texts{a.If, a.Domain, a.Selector, "", a.Key}
		if err := texts.into(f, "arc["+strconv.Itoa(i)+"]", &s.Signer, keys); err != nil {
			return nil, err
		}
		r.Seal = append(r.Seal, s)
	}
	return r, nil
}

// texts are the expressions of a signer.
type texts struct{ condition, domain, selector, identity, key string }

// into compiles them for a signer. Only a fault of a constant key is left to be
// found: it is told with the path of the rule in the file.
func (t texts) into(f *config.File, path string, s *outgoing.Signer, keys *outgoing.Keys) error {
	s.Keys, s.Folder = keys, filepath.Dir(f.Path())
	groups := outgoing.Groups()
	var errs [5]error
	s.If, errs[0] = f.Env().Condition(t.condition, groups...)
	for i, text := range []struct {
		expr string
		into **policy.Text
	}{{t.domain, &s.Domain}, {t.selector, &s.Selector}, {t.identity, &s.Identity}, {t.key, &s.Key}} {
		if text.expr != "" {
			*text.into, errs[i+1] = f.Env().Text(text.expr, groups...)
		}
	}
	if err := errors.Join(errs[:]...); err != nil {
		return fmt.Errorf("%s (%s): %w", path, s.Name, err)
	}
	if name, ok := constant(t.key); ok {
		if _, err := s.ReadKey(name); err != nil {
			return f.Fault(path+".key", err.Error())
		}
	}
	return nil
}

// Lookup has ARC ask a resolver.
func Lookup(r *dns.Resolver) arc.Lookup {
	return func(ctx context.Context, name string) ([]string, error) {
		records, _, err := r.LookupTXT(ctx, name)
		if errors.Is(err, dns.ErrNotFound) || errors.Is(err, dns.ErrNoData) {
			err = fmt.Errorf("%s: %w", name, arc.ErrNoRecord)
		}
		return records, err
	}
}

// constant is the text that an expression is, where it is one in quotes.
func constant(expr string) (string, bool) {
	expr = strings.TrimSpace(expr)
	if len(expr) < 2 || expr[0] != expr[len(expr)-1] || expr[0] != '"' && expr[0] != '\'' {
		return "", false
	}
	inside := expr[1 : len(expr)-1]
	return inside, !strings.ContainsAny(inside, `"'\`)
}
