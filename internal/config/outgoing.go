package config

import (
	"strconv"
	"strings"
)

// DKIM is a signature that messages get on their way out. Domain, Selector,
// Identity and Key are expressions.
type DKIM struct {
	Name string `yaml:"name"`
	If   string `yaml:"if"`
	// Domain is that of the header's From if it is "", Identity is left out.
	Domain   string `yaml:"domain"`
	Selector string `yaml:"selector"`
	Identity string `yaml:"identity"`
	// Key is the name of the file.
	Key string `yaml:"key"`
	// Optional leaves the signature out where the key's file is missing.
	Optional bool `yaml:"optional"`
	// Headers and Oversign are the fields that are signed; nil for the usual
	// ones.
	Headers  []string `yaml:"headers"`
	Oversign []string `yaml:"oversign"`
	// Canon is the form of header and body, relaxed or simple each.
	Canon  string   `yaml:"canon"`
	Expire Duration `yaml:"expire"`
}

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
