package config

import (
	"strconv"
	"strings"
	"time"

	"quorumta/internal/config/value"
)

// What is done to messages on their way out.
type (
	// DKIM is a signature, ARC a seal.
	DKIM = value.DKIM
	ARC  = value.ARC
	// SRS and BATV rewrite and tag reverse-paths.
	SRS  = value.SRS
	BATV = value.BATV
)

// unsignable are fields that change on the way (RFC 6376, section 5.4.1), and
// the signature itself.
var unsignable = []string{"return-path", "received", "dkim-signature", "arc-seal", "arc-message-signature", "arc-authentication-results"}

// outgoing checks what is done to messages on their way out.
func (c *checker) outgoing() {
	names := map[string]bool{}
	for i := range c.file.DKIM {
		d := &c.file.DKIM[i]
		path := "dkim[" + strconv.Itoa(i) + "]"
		c.name(path, d.Name, names)
		c.condition(path+".if", d.If, contentGroups()...)
		c.computed(path+".domain", d.Domain, contentGroups()...)
		c.computed(path+".identity", d.Identity, contentGroups()...)
		c.neededText(path, "selector", d.Selector)
		c.neededText(path, "key", d.Key)
		c.choice(path+".canon", d.Canon, "", "relaxed/relaxed", "relaxed/simple", "simple/relaxed", "simple/simple")
		c.fields(path+".headers", d.Headers)
		c.fields(path+".oversign", d.Oversign)
	}
	c.arc()
	if c.file.SRS != nil {
		c.srs(c.file.SRS)
	}
	if c.file.BATV != nil {
		c.batv(c.file.BATV)
	}
}

func (c *checker) arc() {
	names := map[string]bool{}
	for i := range c.file.ARC {
		a := &c.file.ARC[i]
		path := "arc[" + strconv.Itoa(i) + "]"
		c.name(path, a.Name, names)
		c.condition(path+".if", a.If, contentGroups()...)
		c.neededText(path, "domain", a.Domain)
		c.neededText(path, "selector", a.Selector)
		c.neededText(path, "key", a.Key)
		c.fields(path+".headers", a.Headers)
		for j, server := range append([]string{a.Server}, a.Trust...) {
			if strings.ContainsFunc(server, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == ';' || r == '"' }) || server == "" && j > 0 {
				c.faultAt(path, strconv.Quote(server)+" is not the name of a server", "write what stands behind Authentication-Results: (RFC 8601, section 2.5)")
			}
		}
	}
}

// day is what ages of return paths are counted in.
const day = Duration(24 * time.Hour)

func (c *checker) srs(s *SRS) {
	c.condition("srs.if", s.If, "client", "sender", "message")
	if !hostname.MatchString(strings.ToLower(s.Domain)) {
		c.faultAt("srs.domain", "srs needs a domain for rewritten addresses", "one whose MX records lead here")
	}
	if s.Secret == "" {
		c.faultAt("srs.secret", "srs needs a secret", "the name of a file, mode 0600, the same on all nodes")
	}
	c.choice("srs.hash", s.Hash, "", "sha256", "sha1")
	c.choice("srs.separator", s.Separator, "", "=", "+", "-")
	if s.Length != 0 && (s.Length < 4 || s.Length > 20) {
		c.faultAt("srs.length", "a hash has 4 to 20 characters", "")
	}
	if s.MaxAge != 0 && (s.MaxAge < day || s.MaxAge > 500*day) {
		c.faultAt("srs.max_age", "an address is good for 1d to 500d", "21d is usual")
	}
}

func (c *checker) batv(b *BATV) {
	c.condition("batv.if", b.If, "client", "sender", "message")
	c.condition("batv.check", b.Check, "client", "sender", "rcpt", "message")
	for number, file := range b.Keys {
		if len(number) != 1 || number[0] < '0' || number[0] > '9' || file == "" {
			c.faultAt("batv.keys."+number, strconv.Quote(number)+" is not the number of a key", "write keys: {1: FILE}, with a digit before the colon")
		}
	}
	if b.Keys[b.Key] == "" {
		c.faultAt("batv.key", "key names none of keys", "write key: 1")
	}
	if b.MaxAge != 0 && (b.MaxAge < day || b.MaxAge > 300*day) {
		c.faultAt("batv.max_age", "a tag is good for 1d to 300d", "7d is usual")
	}
}

// contentGroups are what expressions about a whole message may look at.
func contentGroups() []string { return []string{"client", "sender", "message", "from"} }

// neededText checks an expression that must be there.
func (c *checker) neededText(path, key, expr string) {
	if expr == "" {
		c.faultAt(path, key+" is missing", `it is an expression: a constant is written '"text"'`)
		return
	}
	c.computed(path+"."+key, expr, contentGroups()...)
}

// computed compiles an expression for a text.
func (c *checker) computed(path, expr string, groups ...string) {
	if expr == "" || c.file.env == nil {
		return
	}
	_, err := c.file.env.Text(expr, groups...)
	c.compiled(path, err)
}

// fields checks names of header fields that are to be signed.
func (c *checker) fields(path string, names []string) {
	for i, name := range names {
		at := path + "[" + strconv.Itoa(i) + "]"
		bad := name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == ':' || r == ';' })
		switch {
		case bad:
			c.faultAt(at, strconv.Quote(name)+" is not the name of a header field", "")
		case contains(unsignable, name):
			c.faultAt(at, name+" cannot be signed: it changes on the way", "RFC 6376, section 5.4.1")
		}
	}
}

func contains(list []string, name string) bool {
	for _, have := range list {
		if strings.EqualFold(have, name) {
			return true
		}
	}
	return false
}
