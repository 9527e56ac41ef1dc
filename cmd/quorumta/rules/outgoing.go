package rules

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"quorumta/delivery/outgoing"
	"quorumta/internal/config"
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

// Outgoing compiles what a file does to messages on their way out. Keys whose
// names are constants are read now: what is wrong with them is the operator's
// fault, a config.Faults.
func Outgoing(f *config.File, keys *outgoing.Keys) (*outgoing.Rules, error) {
	returns, err := Returns(f)
	if err != nil {
		return nil, err
	}
	r := &outgoing.Rules{Returns: returns}
	for i := range f.DKIM {
		s, err := signer(f, &f.DKIM[i], keys)
		if err != nil {
			return nil, fmt.Errorf("dkim %s: %w", f.DKIM[i].Name, err)
		}
		path, constant := constant(f.DKIM[i].Key)
		if constant {
			if _, err := s.ReadKey(path); err != nil {
				return nil, f.Fault("dkim["+strconv.Itoa(i)+"].key", err.Error())
			}
		}
		r.Sign = append(r.Sign, s)
	}
	return r, nil
}

func signer(f *config.File, d *config.DKIM, keys *outgoing.Keys) (outgoing.Signer, error) {
	s := outgoing.Signer{
		Name: d.Name, Keys: keys, Folder: filepath.Dir(f.Path()), Optional: d.Optional,
		Canon: canon.Pair{Header: canon.Relaxed, Body: canon.Relaxed},
		Sign:  d.Headers, Oversign: d.Oversign, Expire: time.Duration(d.Expire),
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
	groups := outgoing.Groups()
	var errs [5]error
	s.If, errs[0] = f.Env().Condition(d.If, groups...)
	for i, text := range []struct {
		expr string
		into **policy.Text
	}{{d.Domain, &s.Domain}, {d.Selector, &s.Selector}, {d.Identity, &s.Identity}, {d.Key, &s.Key}} {
		if text.expr != "" {
			*text.into, errs[i+1] = f.Env().Text(text.expr, groups...)
		}
	}
	return s, errors.Join(errs[:]...)
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
