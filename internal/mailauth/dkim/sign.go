package dkim

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"quorumta/internal/mail/header"
	"quorumta/internal/mailauth/canon"
)

// Signature is how one signature is made.
type Signature struct {
	// Domain (d=) and Selector (s=) say where the public key is, in ASCII.
	Domain, Selector string
	// Identity is i=: "@" and a domain that is Domain or below it, with a
	// local-part or none before the "@"; "" leaves the tag out.
	Identity string
	Key      *Key
	Canon    canon.Pair
	// Sign are the fields that are signed where the message has them, all of
	// the name; Oversign are those of which one more than there are is signed,
	// so that none can be added. From is signed in any case.
	Sign, Oversign []string
	// Expire is how long the signature is to be believed (x=); 0: for ever.
	Expire time.Duration
}

// DefaultSign and DefaultOversign are the fields that say who wrote what to
// whom (RFC 6376, section 5.4.1). Those which mailing lists add are not
// oversigned.
func DefaultSign() []string {
	return []string{
		"Sender", "Resent-From", "Resent-To", "Resent-Cc", "Resent-Date", "Resent-Message-ID",
		"List-Id", "List-Help", "List-Unsubscribe", "List-Unsubscribe-Post", "List-Subscribe", "List-Post", "List-Owner", "List-Archive",
	}
}

// DefaultOversign is told of at DefaultSign.
func DefaultOversign() []string {
	return []string{
		"From", "To", "Cc", "Subject", "Date", "Message-ID", "Reply-To", "In-Reply-To", "References",
		"MIME-Version", "Content-Type", "Content-Transfer-Encoding",
	}
}

// ErrNoAuthor means that a message has no From: it cannot be signed (RFC 6376,
// section 5.4).
var ErrNoAuthor = errors.New("the message has no From")

// Field makes the DKIM-Signature of a message. bodyHash is the hash of its body
// in the form Canon.Body.
func (s *Signature) Field(h header.Header, bodyHash []byte, now time.Time) (header.Field, error) {
	if h.Get("From") == "" {
		return "", ErrNoAuthor
	}
	if err := s.check(); err != nil {
		return "", err
	}
	names := s.names(h)
	t := NewTags("DKIM-Signature")
	t.Add("v", "1")
	s.add(t, names, bodyHash, now)
	return t.Sign(s.Key, h, names, s.Canon.Header)
}

// Message makes the ARC-Message-Signature (RFC 8617, section 4.1.2): a
// signature without a version and with an instance in place of the identity.
// The fields of ARC are never signed by it.
func (s *Signature) Message(h header.Header, instance int, bodyHash []byte, now time.Time) (header.Field, error) {
	if h.Get("From") == "" {
		return "", ErrNoAuthor
	}
	if err := s.check(); err != nil {
		return "", err
	}
	names := s.names(h)
	t := NewTags("ARC-Message-Signature")
	t.Add("i", strconv.Itoa(instance))
	plain := *s
	plain.Identity = ""
	plain.add(t, names, bodyHash, now)
	return t.Sign(s.Key, h, names, s.Canon.Header)
}

// add adds the tags that DKIM-Signature and ARC-Message-Signature share.
func (s *Signature) add(t *Tags, names []string, bodyHash []byte, now time.Time) {
	t.Add("a", s.Key.Algorithm())
	t.Add("c", s.Canon.String())
	t.Add("d", s.Domain)
	t.Add("s", s.Selector)
	if s.Identity != "" {
		t.Add("i", quoted(s.Identity))
	}
	t.Add("t", strconv.FormatInt(now.Unix(), 10))
	if s.Expire > 0 {
		t.Add("x", strconv.FormatInt(now.Add(s.Expire).Unix(), 10))
	}
	t.List("h", names)
	t.Add("bh", base64.StdEncoding.EncodeToString(bodyHash))
}

// check guards against values that an expression made and the field cannot
// hold.
func (s *Signature) check() error {
	if !IsDomain(s.Domain) {
		return fmt.Errorf("sign: %q is no domain", s.Domain)
	}
	if !IsDomain(s.Selector) {
		return fmt.Errorf("sign: %q is no selector", s.Selector)
	}
	if s.Identity == "" {
		return nil
	}
	_, domain, ok := cutLast(s.Identity, "@")
	domain = strings.ToLower(domain)
	if !ok || domain != s.Domain && !strings.HasSuffix(domain, "."+s.Domain) || !IsDomain(domain) {
		return fmt.Errorf("sign: the identity %q is not within %s (RFC 6376, section 3.5)", s.Identity, s.Domain)
	}
	return nil
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// IsDomain reports whether s can stand in d= or s=: labels of lower-case
// letters, digits, - and _ (RFC 6376, section 3.1; in ASCII).
func IsDomain(s string) bool {
	if len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
		for i := range len(label) {
			c := label[i]
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return false
			}
		}
	}
	return true
}

// names is the value of h=: each name as often as the message has it, and once
// more where it is oversigned.
func (s *Signature) names(h header.Header) []string {
	var names []string
	seen := map[string]bool{}
	places := byName(h)
	add := func(name string, more int) {
		if key := strings.ToLower(name); !seen[key] {
			seen[key] = true
			for range len(places[key]) + more {
				names = append(names, name)
			}
		}
	}
	for _, name := range s.Oversign {
		add(name, 1)
	}
	for _, name := range s.Sign {
		add(name, 0)
	}
	add("From", 0)
	return names
}

// quoted is dkim-quoted-printable (RFC 6376, section 2.11).
func quoted(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '=' || c == ';' {
			fmt.Fprintf(&b, "=%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// Hash is the hash of the header that a signature is over: the named fields,
// the last of a name first, and the signature without its value (RFC 6376,
// section 3.7). A name that the header has no field left of adds nothing.
func Hash(h header.Header, names []string, form canon.Form, signature header.Field) []byte {
	sum := sha256.New()
	left := byName(h)
	for _, name := range names {
		key := strings.ToLower(name)
		if places := left[key]; len(places) > 0 {
			last := len(places) - 1
			_, _ = sum.Write([]byte(form.Field(h[places[last]])))
			left[key] = places[:last]
		}
	}
	last := form.Field(signature)
	_, _ = sum.Write([]byte(strings.TrimSuffix(last, "\r\n")))
	return sum.Sum(nil)
}

// byName is where the fields of each name stand, by the name in lower case.
func byName(h header.Header) map[string][]int {
	places := make(map[string][]int, len(h))
	for i, f := range h {
		name := strings.ToLower(f.Name())
		places[name] = append(places[name], i)
	}
	return places
}
