package outgoing

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"quorumta/internal/mail"
	"quorumta/internal/mail/header"
	"quorumta/internal/mailauth/canon"
	"quorumta/internal/mailauth/dkim"
	"quorumta/internal/mailauth/keyfile"
	"quorumta/internal/policy"
)

// Keys are the private keys by their files.
type Keys = keyfile.Store[*dkim.Key]

// Groups are what the expressions of a Signer may look at: what is the same for
// all recipients of a message.
func Groups() []string { return []string{"client", "sender", "message", "from"} }

// Signer is one signature of DKIM.
type Signer struct {
	Name string
	// If is nil or the condition under which it is made.
	If *policy.Condition
	// Domain is nil for that of the author, Identity for none. Key names the
	// file, relative to Folder.
	Domain, Selector, Identity, Key *policy.Text
	Keys                            *Keys
	Folder                          string
	// Optional: without a key at that place the signature is left out.
	Optional       bool
	Canon          canon.Pair
	Sign, Oversign []string
	Expire         time.Duration
}

// chosen is a signature to be made.
type chosen struct {
	dkim.Signature
	name string
}

// signing finds the signatures that a letter gets.
func (r *Rules) signing(d *desk) ([]chosen, error) {
	var list []chosen
	for i := range r.Sign {
		c, ok, err := r.Sign[i].choose(d)
		if err != nil {
			return nil, fmt.Errorf("dkim: %w", err)
		}
		if ok {
			list = append(list, c)
		}
	}
	return list, nil
}

// choose decides whether the signature is made, and how.
func (s *Signer) choose(d *desk) (chosen, bool, error) {
	facts := d.facts()
	var c chosen
	holds, err := s.If.Eval(facts)
	if err == nil && holds && d.load() == nil {
		if d.header.Get("From") == "" {
			return c, false, nil // nothing says who would sign it (RFC 6376, section 5.4)
		}
		c, holds, err = s.choice(facts)
	}
	if d.err != nil { // the header could not be read for it
		return c, false, d.err
	}
	if err != nil {
		return c, false, unusable(fmt.Errorf("%s: %w", s.Name, err))
	}
	return c, holds, nil
}

// choice evaluates the signer's texts; false where it has no key.
func (s *Signer) choice(f *policy.Facts) (chosen, bool, error) {
	c := chosen{name: s.Name, Signature: dkim.Signature{Canon: s.Canon, Sign: s.Sign, Oversign: s.Oversign, Expire: s.Expire}}
	path, err := s.Key.Eval(f)
	if err != nil {
		return c, false, err
	}
	c.Key, err = s.ReadKey(path)
	if s.Optional && errors.Is(err, fs.ErrNotExist) {
		return c, false, nil
	}
	if err != nil {
		return c, false, err
	}
	domain := ""
	if s.Domain == nil {
		domain = f.Author().Domain
	} else if domain, err = s.Domain.Eval(f); err != nil {
		return c, false, err
	}
	if domain == "" {
		return c, false, nil // a message without an author has nobody to sign for it
	}
	// d= is in ASCII, as the name in DNS is (RFC 6376, section 3.5).
	if c.Domain, err = (mail.Address{Local: "x", Domain: strings.ToLower(domain)}).HostName(); err != nil {
		return c, false, fmt.Errorf("domain %q: %w", domain, err)
	}
	if c.Selector, err = s.Selector.Eval(f); err != nil {
		return c, false, err
	}
	c.Selector = strings.ToLower(c.Selector)
	c.Identity, err = s.Identity.Eval(f)
	return c, true, err
}

// ReadKey reads the key at a path that an expression has made: it never leads
// out of its folder by way of "..".
func (s *Signer) ReadKey(path string) (*dkim.Key, error) {
	if path == "" {
		return nil, fmt.Errorf("the key has no name: %w", fs.ErrNotExist)
	}
	for part := range strings.SplitSeq(path, "/") {
		if part == ".." {
			return nil, fmt.Errorf("the key %q has .. in its path", path)
		}
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(s.Folder, path)
	}
	return s.Keys.Get(path)
}

// held is the longest body that is kept between the two passes.
const held = 64 << 10

// sign makes the signatures and the seal of the header, to be put before it. The
// body is read for them once, and kept in the form if it is small.
func (d *desk) sign(ctx context.Context, list []chosen, s *seal, f *Form) (header.Header, error) {
	var forms []canon.Form
	for i := range list {
		forms = append(forms, list[i].Canon.Body)
	}
	if s != nil {
		forms = append(forms, s.forms()...)
	}
	sums, err := d.hash(forms, f)
	if err != nil {
		return nil, err
	}
	var fields header.Header
	for i := range list {
		field, err := list[i].Field(d.header, sums[list[i].Canon.Body], d.Now)
		if err != nil {
			return nil, unusable(fmt.Errorf("dkim %s: %w", list[i].name, err))
		}
		fields = append(fields, field)
	}
	if s == nil {
		return fields, nil
	}
	// A seal is over the signatures, too (RFC 8617, section 4.1.2).
	set, err := s.fields(ctx, append(fields[:len(fields):len(fields)], d.header...), sums, d)
	return append(set, fields...), err
}

// hash reads the body once and hashes it in every form that is needed.
func (d *desk) hash(forms []canon.Form, f *Form) (map[canon.Form][]byte, error) {
	bodies := map[canon.Form]*canon.Body{}
	var writers []io.Writer
	for _, form := range forms {
		if bodies[form] == nil {
			bodies[form] = canon.NewBody(form)
			writers = append(writers, bodies[form])
		}
	}
	if f.whole = d.Size-d.skip <= held; f.whole {
		kept := bytes.NewBuffer(make([]byte, 0, max(0, d.Size-d.skip)+bytes.MinRead))
		writers = append(writers, kept)
		defer func() { f.body = kept.Bytes() }()
	}
	if _, err := d.source.WriteTo(io.MultiWriter(writers...)); err != nil {
		return nil, fmt.Errorf("read the content: %w", err)
	}
	sums := map[canon.Form][]byte{}
	for form, b := range bodies {
		sums[form] = b.Sum()
	}
	return sums, nil
}
