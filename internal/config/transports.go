package config

import (
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"quorumta/internal/config/egress"
	"quorumta/internal/config/value"
)

// Transport is a way in which mail goes that a router leads to: exactly one of
// the kinds is set.
type Transport struct {
	Name    string       `yaml:"name"`
	SMTP    *egress.SMTP `yaml:"smtp"`
	LMTP    *LMTP        `yaml:"lmtp"`
	Maildir *Maildir     `yaml:"maildir"`
	Pipe    *Pipe        `yaml:"pipe"`
	HTTP    *HTTP        `yaml:"http"`
	Discard *Discard     `yaml:"discard"`
}

// The settings of the kinds of transports, except SMTP.
type (
	LMTP    = value.LMTP
	Maildir = value.Maildir
	Pipe    = value.Pipe
	HTTP    = value.HTTP
	Discard = value.Discard
)

// Hosts reports whether mail goes by the transport to the hosts of a router.
func (t *Transport) Hosts() bool { return t.SMTP != nil || t.LMTP != nil && t.LMTP.Socket == "" }

// Recipients is the most that a delivery by the transport has; 0: no bound.
func (t *Transport) Recipients() int {
	if t.Pipe != nil || t.HTTP != nil {
		return 1
	}
	return 0
}

// transport finds one by its name.
func (f *File) transport(name string) (*Transport, bool) {
	i := slices.IndexFunc(f.Transports, func(t Transport) bool { return t.Name == name })
	if i < 0 {
		return nil, false
	}
	return &f.Transports[i], true
}

// kinds are the keys that say what a transport is, those that are set.
func (t *Transport) kinds() []string {
	var set []string
	for name, is := range map[string]bool{
		"smtp": t.SMTP != nil, "lmtp": t.LMTP != nil, "maildir": t.Maildir != nil, "pipe": t.Pipe != nil, "http": t.HTTP != nil, "discard": t.Discard != nil,
	} {
		if is {
			set = append(set, name)
		}
	}
	slices.Sort(set)
	return set
}

// kindsOfTransports are all those that there are.
const kindsOfTransports = "smtp: {…}, lmtp: {socket: /run/dovecot/lmtp}, maildir: {path: …}, pipe: {command: […]}, http: {url: …} or discard: {}"

func (c *checker) transports() {
	names := map[string]bool{}
	for i := range c.file.Transports {
		t := &c.file.Transports[i]
		path := "transports[" + strconv.Itoa(i) + "]"
		c.name(path, t.Name, names)
		switch kinds := t.kinds(); {
		case t.Name == "smtp" && t.SMTP == nil:
			c.faultAt(path+".name", "smtp is there without being named", "choose another name, or write smtp: {…} for what all mail without a transport of its own leaves by")
		case len(kinds) == 0:
			c.faultAt(path, "the transport does not say how mail goes", "write "+kindsOfTransports)
		case len(kinds) > 1:
			c.faultAt(path, "a transport is one of "+strings.Join(kinds, ", "), "make a transport of each")
		}
		c.settings(path, t)
	}
}

// RouterFacts are the groups of facts that the expressions of routers and
// transports may look at.
func RouterFacts() []string { return []string{"client", "sender", "rcpt", "message"} }

// RouterConditions are those of the conditions of routers.
func RouterConditions() []string { return append(RouterFacts(), "header") }

// settings checks those of a transport's kind.
func (c *checker) settings(path string, t *Transport) {
	if t.SMTP != nil {
		t.SMTP.Check(within{c, path + ".smtp"})
	}
	if t.LMTP != nil && t.LMTP.Socket != "" && !strings.HasPrefix(t.LMTP.Socket, "/") {
		c.faultAt(path+".lmtp.socket", strconv.Quote(t.LMTP.Socket)+" is not the path of a socket", "a server at a TCP port is named by a router: hosts: [dovecot.example:24], transport: "+t.Name)
	}
	if t.Pipe != nil {
		c.pipe(path+".pipe", t.Pipe)
	}
	if t.HTTP != nil {
		c.http(path+".http", t.HTTP)
	}
	if m := t.Maildir; m != nil {
		if m.Path != "" {
			c.text(path+".maildir.path", m.Path)
		}
		if m.QuotaMessages < 0 {
			c.faultAt(path+".maildir.quota_messages", "fewer than no messages are not possible", "leave it away for no bound")
		}
	}
}

// ownFields are those that the transport itself sets.
var ownFields = regexp.MustCompile(`(?i)^(content-|transfer-encoding$|host$|connection$|idempotency-key$|quorumta-)`)

// field is the name of a field of HTTP (RFC 9110, section 5.6.2).
var field = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")

func (c *checker) http(path string, h *HTTP) {
	if !strings.HasPrefix(h.URL, "https://") && !strings.HasPrefix(h.URL, "http://") {
		c.faultAt(path+".url", strconv.Quote(h.URL)+" is not the URL of a web server", "write https://hooks.example/mail/${rcpt.local}")
	}
	for name := range h.Headers {
		switch at := path + ".headers." + name; {
		case !field.MatchString(name):
			c.faultAt(at, strconv.Quote(name)+" is not the name of a field", "")
		case ownFields.MatchString(name):
			c.faultAt(at, "the transport sets "+name+" itself", "choose another name")
		}
	}
}

// mostOutput is how much of a command's output an event may hold.
const mostOutput = 20_000

func (c *checker) pipe(path string, p *Pipe) {
	if len(p.Command) > 0 && !strings.HasPrefix(p.Command[0], "/") {
		c.faultAt(path+".command[0]", strconv.Quote(p.Command[0])+" is not the path of a program", "there is no shell: write the whole path, and each argument by itself")
	}
	if p.Output > mostOutput {
		c.faultAt(path+".output", "at most 20KB of output are kept", "it stands in the record of every replica")
	}
	for i, status := range p.Temporary {
		if status < 1 || status > 255 {
			c.faultAt(path+".temporary["+strconv.Itoa(i)+"]", "exit statuses of failures are 1 to 255", "")
		}
	}
	if p.Processes < 0 {
		c.faultAt(path+".processes", "fewer than no processes are not possible", "")
	}
	for name := range p.Environment {
		if !variable.MatchString(name) {
			c.faultAt(path+".environment."+name, strconv.Quote(name)+" is not the name of a variable", "letters, digits and _ are")
		}
	}
}

// variable is a name in the environment.
var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// text compiles an expression for a text, which must be there.
func (c *checker) text(path, expr string) {
	if c.file.env == nil {
		return
	}
	_, err := c.file.env.Text(expr, RouterFacts()...)
	c.compiled(path, err)
}

// carried checks what a router says of transports.
func (c *checker) carried(path string, r *Router) {
	switch {
	case r.Accept != "":
		c.accepted(path, r)
	case r.Transport != "" && r.Transport != "smtp":
		t, ok := c.file.transport(r.Transport)
		switch {
		case !ok:
			c.noTransport(path+".transport", r.Transport)
		case !t.Hosts():
			c.faultAt(path+".transport", "transport "+r.Transport+" takes no hosts", "write accept: "+r.Transport+" in their place")
		case t.LMTP != nil && r.MX != nil:
			c.faultAt(path+".mx", "MX records lead to servers that speak SMTP", "write hosts: [dovecot.example:24] for LMTP")
		case t.LMTP != nil:
			c.notPort25(path, r)
		}
	}
}

// accepted checks a router that leads to a transport without hosts.
func (c *checker) accepted(path string, r *Router) {
	t, ok := c.file.transport(r.Accept)
	switch {
	case !ok:
		c.noTransport(path+".accept", r.Accept)
	case t.Hosts():
		c.faultAt(path+".accept", "transport "+r.Accept+" needs hosts", "write hosts: […], transport: "+r.Accept)
	}
	if r.Transport != "" {
		c.faultAt(path+".transport", "accept names the transport", "leave transport away")
	}
	if r.TLS != "" {
		c.faultAt(path+".tls", "accept leads to no host: tls has no meaning", "leave it away")
	}
}

func (c *checker) noTransport(path, name string) {
	known := []string{"smtp"}
	for i := range c.file.Transports {
		known = append(known, c.file.Transports[i].Name)
	}
	c.faultAt(path, "there is no transport "+name, suggest(name, known))
}

// notPort25: LMTP must not be spoken there (RFC 2033, section 5).
func (c *checker) notPort25(path string, r *Router) {
	for j, group := range r.Hosts {
		for _, h := range group {
			if _, port, err := net.SplitHostPort(h); err == nil && port == "25" {
				c.faultAt(path+".hosts["+strconv.Itoa(j)+"]", "port 25 is SMTP's", "LMTP has a port of its own, 24 where none is written (RFC 2033, section 5)")
			}
		}
	}
}
