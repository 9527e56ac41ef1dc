package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"quorumta/internal/config/strict"
	"quorumta/internal/policy"
)

// checker finds what the shape of a file does not tell.
type checker struct {
	*strict.Decoder
	file *File
}

var (
	hostname = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	nodeName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$`)
)

// faultAt notes what is wrong at a path.
func (c *checker) faultAt(path, what, hint string) { c.FaultAt(path, what, hint) }

func (c *checker) check() {
	f := c.file
	c.identity()
	c.groups()
	c.address("cluster.listen", f.Cluster.Listen, true)
	c.address("admin.listen", f.Admin.Listen, false)
	c.address("admin.metrics", f.Admin.Metrics, false)
	c.files()
	c.environment()
	c.listeners()
	c.certificates()
	c.limits()
	c.rules()
	c.priorities()
	c.lookups()
	c.pools()
	c.transports()
	c.routers()
	c.sites()
	c.tlsReports()
	c.retries()
	c.dsn()
	c.rewrites()
	c.outgoing()
	c.choice("in_doubt", f.InDoubt, "retry", "hold")
	c.choice("log.format", f.Log.Format, "json", "text")
	c.choice("log.level", f.Log.Level, "debug", "info", "warn", "error")
	c.dns()
}

// identity checks who the node is, and that a majority can be lost by no
// single node.
func (c *checker) identity() {
	f := c.file
	if f.Node == "" {
		c.faultAt("node", "node is missing", "write node: n1, or say serve --node n1")
	}
	if f.Hostname == "" {
		c.faultAt("hostname", "hostname is missing", "write the name that the node's address resolves to")
	} else if !hostname.MatchString(strings.ToLower(f.Hostname)) || len(f.Hostname) > 253 {
		c.faultAt("hostname", strconv.Quote(f.Hostname)+" is not a host name", "")
	}
	if f.Postmaster == (Address{}) {
		c.faultAt("postmaster", "postmaster is missing", "RFC 5321 wants an address that a person reads")
	}
	if len(f.Cluster.Members) == 0 {
		c.faultAt("cluster.members", "cluster.members is missing", "write members: {n1: 10.0.0.1:7900, …}, this node included")
		return
	}
	if _, ok := f.Cluster.Members[f.Node]; f.Node != "" && !ok {
		c.faultAt("cluster.members", "node "+f.Node+" is not among the members", "")
	}
	for name, address := range f.Cluster.Members {
		if !nodeName.MatchString(name) {
			c.faultAt("cluster.members."+name, strconv.Quote(name)+" is not a node name", "letters, digits, - and _ are")
		}
		c.address("cluster.members."+name, address, true)
	}
}

// leastLog is the least that a shard keeps of its log: less, and a short restart
// costs a copy of the whole state.
const leastLog = 16_000_000

// groups checks what is said of Raft groups.
func (c *checker) groups() {
	f := c.file.Cluster
	if f.Shards < 0 || f.Shards > 4095 {
		c.faultAt("cluster.shards", "there are 1 to 4095 shards", "")
	}
	if r := f.Replicas; r != 1 && r != 3 && r != 5 {
		c.faultAt("cluster.replicas", fmt.Sprintf("%d replicas are not possible", r),
			"write 1, 3 or 5: an even number survives no more losses than one fewer")
	}
	if f.LogKeep < leastLog {
		c.faultAt("cluster.log_keep", "a shard keeps at least 16MB of log", "a node that was away longer is sent the whole state")
	}
}

// Even reports whether the members are an even number, of which half cannot be
// lost as it cannot of one fewer.
func (f *File) Even() bool { return len(f.Cluster.Members)%2 == 0 }

// files checks that certificates are there and keys are their owner's alone.
func (c *checker) files() {
	f := c.file
	t := f.Cluster.TLS
	if t.CA == "" || t.Cert == "" || t.Key == "" {
		c.faultAt("cluster.tls", "cluster.tls needs ca, cert and key", "quorumta init writes them")
	}
	if (f.TLS.Cert == "") != (f.TLS.Key == "") {
		c.faultAt("tls", "tls needs cert and key", "")
	}
	for path, name := range map[string]string{
		"cluster.tls.ca": t.CA, "cluster.tls.cert": t.Cert, "cluster.tls.key": t.Key, "cluster.tls.ca_key": t.CAKey,
		"tls.cert": f.TLS.Cert, "tls.key": f.TLS.Key,
	} {
		if name == "" {
			continue
		}
		c.readable(path, name)
	}
}

// environment makes the nets and lists that conditions may use.
func (c *checker) environment() {
	nets := map[string][]netip.Prefix{}
	for name, prefixes := range c.file.Nets {
		if err := policy.CheckName(name); err != nil {
			c.faultAt("nets."+name, err.Error(), "")
			continue
		}
		nets[name] = nil
		for _, p := range prefixes {
			if v := netip.Prefix(p); v.IsValid() {
				nets[name] = append(nets[name], v)
			}
		}
	}
	lists := map[string][]string{}
	for name, list := range c.file.Lists {
		if err := policy.CheckName(name); err != nil {
			c.faultAt("lists."+name, err.Error(), "")
			continue
		}
		lists[name] = list
	}
	env, err := policy.NewEnv(nets, lists)
	if err != nil {
		c.faultAt("nets", err.Error(), "")
		return
	}
	c.file.env = env
}

func (c *checker) listeners() {
	names := map[string]bool{}
	for i, l := range c.file.Listeners {
		path := "listeners[" + strconv.Itoa(i) + "]"
		c.name(path, l.Name, names)
		c.address(path+".address", l.Address, true)
		c.choice(path+".tls", l.TLS, "", "off", "offer", "require", "implicit")
		if l.TLS != "" && l.TLS != "off" && !c.file.certified(l) {
			c.faultAt(path+".tls", "tls: "+l.TLS+" needs a certificate", "add tls: {cert: …, key: …} to the file")
		}
		if l.Proxy != "" && c.file.Nets[l.Proxy] == nil {
			c.faultAt(path+".proxy", "there is no net "+l.Proxy, "proxy names one of nets:")
		}
		c.futureRelease(path+".future_release", l.FutureRelease)
		if l.Priority != "" && c.file.Nets[l.Priority] == nil {
			c.faultAt(path+".priority", "there is no net "+l.Priority, "priority names one of nets: whose clients may say how urgent a message is")
		}
	}
}

func (c *checker) limits() {
	l := c.file.Limits
	for path, v := range map[string]int{
		"limits.message": int(l.Message), "limits.recipients": l.Recipients,
		"limits.connections": l.Connections, "limits.per_client": l.PerClient, "limits.received": l.Received,
	} {
		if v < 1 {
			c.faultAt(path, path+" must be at least 1", "")
		}
	}
	if l.Recipients > 0 && l.Recipients < 100 {
		c.faultAt("limits.recipients", "fewer than 100 recipients are not allowed", "RFC 5321, section 4.5.3.1.8")
	}
}

func (c *checker) rules() {
	names := map[string]bool{}
	for i, r := range c.file.Policy.RCPT {
		path := "policy.rcpt[" + strconv.Itoa(i) + "]"
		c.name(path, r.Name, names)
		c.condition(path+".if", r.If)
		c.choice(path+".do", r.Do, "accept", "reject", "defer")
		if r.Do == "accept" && r.Reply != (Reply{}) {
			c.faultAt(path+".reply", "an accepting rule has no reply", "")
		}
	}
}

// Fault makes an error about a value of the loaded file, named by its path,
// for what only the rooms that use it can check.
func (f *File) Fault(path, what string) error {
	text, err := os.ReadFile(f.path)
	if err != nil {
		return errors.New(path + ": " + what)
	}
	_, d := parse(f.path, text)
	d.Faults = nil
	d.FaultAt(path, what, "")
	return d.Faults
}

// name checks that a row has a name of its own: it stands in events and
// traces.
func (c *checker) name(path, name string, seen map[string]bool) {
	switch {
	case name == "":
		c.faultAt(path, "name is missing", "it stands in events and traces")
	case seen[name]:
		c.faultAt(path+".name", "the name "+name+" is used twice", "")
	}
	seen[name] = true
}

// condition compiles a condition; groups narrow what it may look at.
func (c *checker) condition(path, expr string, groups ...string) {
	if expr == "" || c.file.env == nil {
		return
	}
	_, err := c.file.env.Condition(expr, groups...)
	c.compiled(path, err)
}

// compiled notes why an expression does not compile; a nil error is none.
func (c *checker) compiled(path string, err error) {
	var faults policy.Faults
	if errors.As(err, &faults) {
		p := c.Where[path]
		for _, f := range faults {
			// Columns of a text folded over several lines are approximate.
			c.Decoder.Fault(strict.Position{Line: p.Line + f.Line - 1, Column: p.Column + f.Column - 1}, f.What, "")
		}
	} else if err != nil {
		c.faultAt(path, err.Error(), "")
	}
}

func (c *checker) choice(path, value string, allowed ...string) {
	if slices.Contains(allowed, value) {
		return
	}
	c.faultAt(path, strconv.Quote(value)+" is not possible", suggest(value, slices.DeleteFunc(slices.Clone(allowed), func(s string) bool { return s == "" })))
}

// address checks host:port.
func (c *checker) address(path, value string, needed bool) {
	if value == "" {
		if needed {
			c.faultAt(path, path+" is missing", "write host:port")
		}
		return
	}
	_, port, err := net.SplitHostPort(value)
	if err != nil {
		c.faultAt(path, strconv.Quote(value)+" is not host:port", "an IPv6 address stands in brackets: \"[::1]:25\"")
		return
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		c.faultAt(path, strconv.Quote(port)+" is not a port", "")
	}
}

// checkHost checks name, name:port, address or [address]:port.
func checkHost(s string) error {
	host := s
	if _, err := netip.ParseAddr(s); err == nil {
		return nil
	}
	if h, port, err := net.SplitHostPort(s); err == nil {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return errors.New("the port is not between 1 and 65535")
		}
		host = h
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return nil
	}
	if !hostname.MatchString(strings.ToLower(strings.TrimSuffix(host, "."))) {
		return errors.New("write name, name:port, address or [address]:port")
	}
	return nil
}

// IsNodeName reports whether a node can have the name.
func IsNodeName(name string) bool { return nodeName.MatchString(name) }
