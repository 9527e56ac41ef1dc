package config

import (
	"os"
	"strconv"
	"strings"

	"quorumta/internal/config/value"
)

// Router says where mail goes: Hosts, MX, Accept, Redirect or Copy.
type Router struct {
	Name  string `yaml:"name"`
	If    string `yaml:"if"`
	Hosts Hosts  `yaml:"hosts"`
	MX    *MX    `yaml:"mx"`
	// Fallback are hosts for what cannot reach those of Hosts or MX, in order.
	Fallback []string `yaml:"fallback"`
	// Accept names a transport that needs no hosts.
	Accept string `yaml:"accept"`
	// Redirect puts others in a recipient's place.
	Redirect *Redirect `yaml:"redirect"`
	// Copy is a text: those who get a copy, while routing goes on.
	Copy string `yaml:"copy"`
	// Transport is how hosts are spoken to; "" means smtp.
	Transport string `yaml:"transport"`
	// TLS is off, try, require or verify; "" means try.
	TLS string `yaml:"tls"`
	// DANE is off, on or require; "" means on. MTASTS is off or on; "" means on
	// for mx.
	DANE   string `yaml:"dane"`
	MTASTS string `yaml:"mta_sts"`
	// Trace gives the hosts the context of our trace: they are trusted.
	Trace bool `yaml:"trace"`
	// Prefix and Suffix are what may stand around a mailbox in a local-part.
	Prefix         []string `yaml:"prefix"`
	PrefixOptional bool     `yaml:"prefix_optional"`
	Suffix         []string `yaml:"suffix"`
	SuffixOptional bool     `yaml:"suffix_optional"`
	// ErrorsTo, HeadersAdd and AddressData are texts; ErrorsTo is an address or
	// "".
	ErrorsTo      *string  `yaml:"errors_to"`
	HeadersAdd    []string `yaml:"headers_add"`
	HeadersRemove []string `yaml:"headers_remove"`
	AddressData   string   `yaml:"address_data"`
	// More is false where nobody is asked after a router that declines.
	More *bool `yaml:"more"`
	// PassRouter and RedirectRouter name other routers.
	PassRouter     string `yaml:"pass_router"`
	RedirectRouter string `yaml:"redirect_router"`
	// IgnoreTargetHosts are names of nets.
	IgnoreTargetHosts []string `yaml:"ignore_target_hosts"`
	// HostFindFailed and Self are fail, defer, pass or decline.
	HostFindFailed string `yaml:"host_find_failed"`
	Self           string `yaml:"self"`
	PassOnTimeout  bool   `yaml:"pass_on_timeout"`
}

// MX and Redirect are what two kinds of routers say.
type (
	MX       = value.MX
	Redirect = value.Redirect
)

func (r *Router) resolve(dir string) {
	if r.Redirect == nil {
		return
	}
	for i := range r.Redirect.Files {
		r.Redirect.Files[i] = absolute(dir, r.Redirect.Files[i])
	}
}

// kinds counts what says where mail goes.
func (r *Router) kinds() int {
	n := 0
	for _, is := range []bool{len(r.Hosts) > 0, r.MX != nil, r.Accept != "", r.Redirect != nil, r.Copy != ""} {
		if is {
			n++
		}
	}
	return n
}

func (c *checker) routers() {
	names := map[string]bool{}
	if len(c.file.Routers) == 0 {
		c.faultAt("routers", "no router: no mail can leave", "add {name: internet, mx: {}} or {name: smarthost, hosts: [smtp.isp.example:587]}")
	}
	for i := range c.file.Routers {
		r, path := &c.file.Routers[i], "routers["+strconv.Itoa(i)+"]"
		c.name(path, r.Name, names)
		c.condition(path+".if", r.If, RouterConditions()...)
		c.security(path, r)
		if r.kinds() != 1 {
			c.faultAt(path, "a router has one of hosts, mx, accept, redirect and copy", "write hosts: [mail1.example:25], mx: {}, accept: TRANSPORT, redirect: {files: [/etc/aliases]} or copy: EXPRESSION")
		}
		c.carried(path, r)
		c.hosts(path, r)
		c.redirect(path, r)
		c.said(path, r)
		c.flow(path, i, r)
	}
}

// hosts checks what a router says of finding hosts.
func (c *checker) hosts(path string, r *Router) {
	if len(r.Fallback) > 0 && len(r.Hosts) == 0 && r.MX == nil {
		c.faultAt(path+".fallback", "fallback is for routers with hosts or mx", "")
	}
	for j, group := range append(r.Hosts[:len(r.Hosts):len(r.Hosts)], r.Fallback) {
		for _, h := range group {
			name := h
			if n := len(h) - len("/mx"); n > 0 && strings.EqualFold(h[n:], "/mx") {
				name = h[:n]
			}
			if err := checkHost(name); err != nil {
				at := path + ".hosts[" + strconv.Itoa(j) + "]"
				if j == len(r.Hosts) {
					at = path + ".fallback"
				}
				c.faultAt(at, strconv.Quote(h)+" is not a host", err.Error())
			}
		}
	}
	c.choice(path+".host_find_failed", r.HostFindFailed, "", "fail", "defer", "pass", "decline")
	c.choice(path+".self", r.Self, "", "fail", "defer", "pass", "decline")
	if found := len(r.IgnoreTargetHosts) > 0 || r.HostFindFailed != "" || r.Self != "" || r.PassOnTimeout; found && r.MX == nil && len(r.Hosts) == 0 {
		c.faultAt(path, "only hosts and mx find hosts", "leave ignore_target_hosts, host_find_failed, self and pass_on_timeout away")
	}
	c.listed(path+".ignore_target_hosts", "net", r.IgnoreTargetHosts, func(n string) bool { return c.file.Nets[n] != nil })
	if r.MX == nil {
		return
	}
	list := func(n string) bool { return c.file.Lists[n] != nil }
	c.listed(path+".mx.mx_domains", "list", r.MX.MXDomains, list)
	c.listed(path+".mx.mx_fail_domains", "list", r.MX.MXFailDomains, list)
	c.listed(path+".mx.fail_defer_domains", "list", r.MX.FailDeferDomains, list)
	if s := r.MX.CheckSRV; s != "" && !hostname.MatchString(strings.ToLower(s)) {
		c.faultAt(path+".mx.check_srv", strconv.Quote(s)+" is not the name of a service", "write smtp")
	}
}

// listed checks names of nets or lists.
func (c *checker) listed(path, what string, names []string, known func(string) bool) {
	for j, name := range names {
		if !known(name) {
			c.faultAt(path+"["+strconv.Itoa(j)+"]", "there is no "+what+" "+name, "it names one of "+what+"s:")
		}
	}
}

// redirect checks who comes in a recipient's place.
func (c *checker) redirect(path string, r *Router) {
	if r.Copy != "" {
		c.text(path+".copy", r.Copy)
	}
	x := r.Redirect
	if x == nil {
		return
	}
	path += ".redirect"
	kinds := 0
	for _, is := range []bool{len(x.Files) > 0, len(x.Lookups) > 0, x.Data != ""} {
		if is {
			kinds++
		}
	}
	if kinds != 1 {
		c.faultAt(path, "a redirect has either files, lookups or data", "write files: [/etc/aliases], lookups: [NAME], or data: '\"info@new.example\"'")
	}
	c.listed(path+".lookups", "lookup", x.Lookups, c.file.hasLookup)
	for j, file := range x.Files {
		if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() {
			c.faultAt(path+".files["+strconv.Itoa(j)+"]", "cannot read "+file, "paths are relative to the file")
		}
	}
	if x.Data != "" {
		c.text(path+".data", x.Data)
	}
	if x.Key != "" {
		c.text(path+".key", x.Key)
		if x.Data != "" {
			c.faultAt(path+".key", "data is not looked up", "a key is for files and lookups")
		}
	}
	if d := x.QualifyDomain; d != "" && !hostname.MatchString(strings.ToLower(d)) {
		c.faultAt(path+".qualify_domain", strconv.Quote(d)+" is not a domain", "")
	}
	for key, name := range map[string]string{"pipe_transport": x.PipeTransport, "file_transport": x.FileTransport} {
		if name == "" {
			continue
		}
		if t, ok := c.file.transport(name); !ok {
			c.noTransport(path+"."+key, name)
		} else if t.Hosts() {
			c.faultAt(path+"."+key, "transport "+name+" needs hosts", "")
		}
	}
}

// said checks what a router says of a recipient.
func (c *checker) said(path string, r *Router) {
	if r.ErrorsTo != nil {
		c.text(path+".errors_to", *r.ErrorsTo)
	}
	for j, field := range r.HeadersAdd {
		c.text(path+".headers_add["+strconv.Itoa(j)+"]", field)
	}
	for j, name := range r.HeadersRemove {
		if name == "" || strings.ContainsAny(strings.TrimSuffix(name, "*"), ": \t*") {
			c.faultAt(path+".headers_remove["+strconv.Itoa(j)+"]", strconv.Quote(name)+" is not the name of a field", "write Name, or Name-* for all that begin so")
		}
	}
	if r.AddressData != "" {
		c.text(path+".address_data", r.AddressData)
	}
	for key, affixes := range map[string][]string{"prefix": r.Prefix, "suffix": r.Suffix} {
		for j, a := range affixes {
			text := strings.TrimSuffix(a, "*")
			if key == "prefix" {
				text = strings.TrimPrefix(a, "*")
			}
			if text == "" || strings.Contains(text, "*") {
				c.faultAt(path+"."+key+"["+strconv.Itoa(j)+"]", strconv.Quote(a)+" is no "+key, "write a text, as owner- or -request, with a * at its outer end for any other: +*")
			}
		}
	}
	for key, missing := range map[string]bool{"prefix": r.PrefixOptional && len(r.Prefix) == 0, "suffix": r.SuffixOptional && len(r.Suffix) == 0} {
		if missing {
			c.faultAt(path+"."+key+"_optional", "there is no "+key+" that could be left out", "")
		}
	}
}

// flow checks the routers that a router names.
func (c *checker) flow(path string, i int, r *Router) {
	after := func(from int, name string) bool {
		for _, other := range c.file.Routers[from:] {
			if other.Name == name {
				return true
			}
		}
		return false
	}
	if r.PassRouter != "" && !after(i+1, r.PassRouter) {
		c.faultAt(path+".pass_router", "there is no later router "+r.PassRouter, "")
	}
	if r.RedirectRouter != "" && !after(0, r.RedirectRouter) {
		c.faultAt(path+".redirect_router", "there is no router "+r.RedirectRouter, "")
	}
}
