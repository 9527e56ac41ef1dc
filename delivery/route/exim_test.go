package route

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"quorumta/internal/dns/dnstest"
)

// mailZones are the domains of TestAsEximRoutes, below example.
var mailZones = []dnstest.Zone{
	{Name: "good", Records: `
@        MX 10 a
a        A 198.51.100.1
b        A 198.51.100.2
c        A 198.51.100.3
c        AAAA 2001:db8::3
two      MX 20 b
two      MX 10 a
two      MX 10 c
five     MX 1 a
five     MX 2 b
five     MX 3 a
null     MX 0 .
null     A 198.51.100.9
bare     A 198.51.100.4
empty    TXT "nothing"
gone     MX 10 nowhere
half     MX 10 nowhere
half     MX 20 a
alias    CNAME two
indirect MX 10 name
name     CNAME a
*.wild   MX 10 b
lame     MX 10 mx.broken.example.
limping  MX 10 mx.broken.example.
limping  MX 20 a
loop     MX 10 me
me       A 127.0.0.1
backup   MX 10 a
backup   MX 20 me
backup   MX 30 b
equal    MX 10 me
equal    MX 10 a
equal    MX 20 b
named    MX 10 a
named    MX 20 relay.example.
in       A 10.0.0.1
private  MX 10 in
mixed    MX 10 in
mixed    MX 20 a
srv      MX 10 a
_smtp._tcp.srv   SRV 1 0 2525 b
_smtp._tcp.srv   SRV 2 0 2526 c
nosrv    MX 10 a
_smtp._tcp.nosrv SRV 0 0 0 .
`},
	{Name: "relay", State: dnstest.Unsigned, Records: "@ A 127.0.0.1"},
	{Name: "plain", State: dnstest.Unsigned, Records: "@ MX 10 mx\nmx A 198.51.100.5"},
	{Name: "broken", State: dnstest.Broken, Records: "@ MX 10 mx\nmx A 198.51.100.6"},
}

// eximRouters say to Exim what routersLikeExims say to us: which is asked is the
// local-part's matter.
const eximRouters = `
exim_path = %[1]s
primary_hostname = relay.example
spool_directory = %[2]s
log_file_path = %[2]s/%%slog
keep_environment =

begin routers
mx:
  driver = dnslookup
  local_parts = mx
  transport = remote
  self = fail
  more = false
selfdefer:
  driver = dnslookup
  local_parts = selfdefer
  transport = remote
  self = defer
  more = false
selfpass:
  driver = dnslookup
  local_parts = selfpass
  transport = remote
  self = pass
  pass_router = last
  more = false
ignore:
  driver = dnslookup
  local_parts = ignore
  transport = remote
  self = fail
  ignore_target_hosts = 10.0.0.0/8 : 127.0.0.0/8
  more = false
needs:
  driver = dnslookup
  local_parts = needs
  transport = remote
  mx_domains = *.good.example
  more = false
mxfail:
  driver = dnslookup
  local_parts = mxfail
  transport = remote
  mx_fail_domains = broken.example
  more = false
strict:
  driver = dnslookup
  local_parts = strict
  transport = remote
  mx_domains = broken.example
  mx_fail_domains = broken.example
  more = false
faildefer:
  driver = dnslookup
  local_parts = faildefer
  transport = remote
  fail_defer_domains = *.good.example
  more = false
srv:
  driver = dnslookup
  local_parts = srv
  transport = remote
  check_srv = smtp
  more = false
second:
  driver = dnslookup
  local_parts = second
  transport = remote
  self = fail
  check_secondary_mx
pass:
  driver = dnslookup
  local_parts = pass
  transport = remote
  pass_on_timeout
  pass_router = last
  more = false
decline:
  driver = dnslookup
  local_parts = decline
  transport = remote
hosts:
  driver = manualroute
  local_parts = hosts
  transport = remote
  route_list = * b.good.example:c.good.example::2525:198.51.100.77::2626
hostmx:
  driver = manualroute
  local_parts = hostmx
  transport = remote
  route_list = * two.good.example/MX
hostgone:
  driver = manualroute
  local_parts = hostgone
  transport = remote
  route_list = * nowhere.good.example
  host_find_failed = defer
hostdecline:
  driver = manualroute
  local_parts = hostdecline
  transport = remote
  route_list = * nowhere.good.example
  host_find_failed = decline
hostsome:
  driver = manualroute
  local_parts = hostsome
  transport = remote
  route_list = * nowhere.good.example:a.good.example
  host_find_failed = ignore
hostlame:
  driver = manualroute
  local_parts = hostlame
  transport = remote
  route_list = * mx.broken.example
last:
  driver = manualroute
  transport = remote
  route_list = * b.good.example::999

begin transports
remote:
  driver = smtp
`

// routersLikeExims are the same, by local-part.
func routersLikeExims(t *testing.T) []Router {
	below := func(d string) bool { return strings.HasSuffix(d, ".good.example") }
	mx := func(f Find) Router { return Router{MX: true, Find: f, Flow: Flow{Last: true}} }
	declining := func(r Router) Router { r.Flow.Last = false; return r }
	hosts := func(f Find, list ...string) Router {
		r := Router{Find: f}
		for _, h := range list {
			r.Hosts = append(r.Hosts, []string{h})
		}
		return r
	}
	private := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("127.0.0.0/8")}
	routers := []Router{}
	for _, r := range []struct {
		name string
		Router
	}{
		{"mx", mx(Find{})},
		{"selfdefer", mx(Find{Self: ActDefer})},
		{"selfpass", mx(Find{Self: ActPass})},
		{"ignore", mx(Find{Ignore: func(a netip.Addr) bool {
			return slices.ContainsFunc(private, func(p netip.Prefix) bool { return p.Contains(a) })
		}})},
		{"needs", mx(Find{MXDomains: below})},
		{"mxfail", mx(Find{MXFail: in("broken.example")})},
		{"strict", mx(Find{MXDomains: in("broken.example"), MXFail: in("broken.example")})},
		{"faildefer", mx(Find{FailDefer: below})},
		{"srv", mx(Find{SRV: "smtp"})},
		{"second", declining(mx(Find{Secondary: true}))},
		{"pass", mx(Find{Timeout: ActPass})},
		{"decline", declining(mx(Find{NotFound: ActDecline}))},
		{"hosts", hosts(Find{}, "b.good.example", "c.good.example:2525", "198.51.100.77:2626")},
		{"hostmx", hosts(Find{}, "two.good.example/mx")},
		{"hostgone", hosts(Find{}, "nowhere.good.example")},
		{"hostdecline", hosts(Find{NotFound: ActDecline}, "nowhere.good.example")},
		{"hostsome", hosts(Find{}, "nowhere.good.example", "a.good.example")},
		{"hostlame", hosts(Find{}, "mx.broken.example")},
	} {
		r.Name, r.If = r.name, condition(t, fmt.Sprintf("rcpt.local == %q", r.name))
		if r.Find.Timeout == ActPass || r.Find.Self == ActPass {
			r.Flow.Pass = "last"
		}
		routers = append(routers, r.Router)
	}
	return append(routers, Router{Name: "last", Hosts: [][]string{{"b.good.example:999"}}})
}

// TestAsEximRoutes: real name servers, and what Exim's routers make of their
// answers beside what ours do. Where Exim says something else, exim has it.
func TestAsEximRoutes(t *testing.T) {
	dnstest.Need(t, "exim4", "exim4-daemon-light")
	servers := dnstest.Start(t, mailZones...)
	table, err := New(Options{
		Hostname: "relay.example", Resolver: resolver(t, "@ A 192.0.2.1", servers.Resolver), Routers: routersLikeExims(t),
		Own: func(at netip.AddrPort) (string, bool) { return "n1", at.Addr().IsLoopback() },
	})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ rcpt, want, exim string }{
		{"mx@good.example", "mx 0:198.51.100.1:25", ""},
		{"mx@two.good.example", "mx 0:198.51.100.1:25 0:198.51.100.3:25 0:[2001:db8::3]:25 1:198.51.100.2:25", ""},
		{"mx@null.good.example", "mx fail 556 5.1.10", ""},
		{"mx@bare.good.example", "mx 0:198.51.100.4:25", ""},
		{"mx@empty.good.example", "mx fail 550 5.1.2", ""},
		{"mx@missing.good.example", "mx fail 550 5.1.2", ""},
		{"mx@gone.good.example", "mx fail 550 5.4.4", ""},
		{"mx@half.good.example", "mx 1:198.51.100.1:25", ""},
		{"mx@alias.good.example", "mx 0:198.51.100.1:25 0:198.51.100.3:25 0:[2001:db8::3]:25 1:198.51.100.2:25", ""},
		{"mx@indirect.good.example", "mx 0:198.51.100.1:25", ""},
		{"mx@any.wild.good.example", "mx 0:198.51.100.2:25", ""},
		{"mx@plain.example", "mx 0:198.51.100.5:25", ""},
		{"mx@broken.example", "mx defer 451 4.4.3", ""},
		{"mx@lame.good.example", "mx defer 451 4.4.3", ""},
		{"mx@limping.good.example", "mx 1:198.51.100.1:25", ""},
		{"mx@loop.good.example", "mx fail 554 5.4.6", ""},
		{"mx@backup.good.example", "mx 0:198.51.100.1:25", ""},
		{"mx@equal.good.example", "mx fail 554 5.4.6", ""},
		{"mx@named.good.example", "mx 0:198.51.100.1:25", ""},
		{"selfdefer@loop.good.example", "selfdefer defer 451 4.4.6", ""},
		{"selfpass@loop.good.example", "last 0:198.51.100.2:999", ""},
		{"selfpass@backup.good.example", "selfpass 0:198.51.100.1:25", ""},
		{"ignore@private.good.example", "ignore fail 550 5.4.4", ""},
		{"ignore@mixed.good.example", "ignore 1:198.51.100.1:25", ""},
		{"ignore@good.example", "ignore 0:198.51.100.1:25", ""},
		{"needs@bare.good.example", "needs fail 550 5.1.2", ""},
		{"needs@two.good.example", "needs 0:198.51.100.1:25 0:198.51.100.3:25 0:[2001:db8::3]:25 1:198.51.100.2:25", ""},
		{"mxfail@broken.example", "mxfail defer 451 4.4.3", ""},
		{"strict@broken.example", "strict fail 550 5.1.2", "defer"}, // Exim's manual has it fail
		{"mxfail@lame.good.example", "mxfail defer 451 4.4.3", ""},
		{"faildefer@missing.good.example", "faildefer defer 451 4.1.2", ""},
		{"faildefer@empty.good.example", "faildefer defer 451 4.1.2", ""},
		{"faildefer@missing.plain.example", "faildefer fail 550 5.1.2", ""},
		{"srv@srv.good.example", "srv 0:198.51.100.2:2525 1:198.51.100.3:2526 1:[2001:db8::3]:2526", ""},
		{"srv@nosrv.good.example", "srv fail 556 5.1.10", ""},
		{"srv@good.example", "srv 0:198.51.100.1:25", ""},
		{"srv@broken.example", "srv defer 451 4.4.3", ""},
		{"second@backup.good.example", "second 0:198.51.100.1:25", ""},
		{"second@good.example", "last 0:198.51.100.2:999", ""},
		{"second@missing.good.example", "second fail 550 5.1.2", "last 0:198.51.100.2:999"}, // host_find_failed: decline
		{"pass@broken.example", "last 0:198.51.100.2:999", ""},
		{"pass@missing.good.example", "pass fail 550 5.1.2", ""},
		{"decline@missing.good.example", "last 0:198.51.100.2:999", ""},
		{"hosts@wherever.example", "hosts 0:198.51.100.2:25 1:198.51.100.3:2525 1:[2001:db8::3]:2525 2:198.51.100.77:2626", ""},
		{"hostmx@wherever.example", "hostmx 0:198.51.100.1:25 0:198.51.100.3:25 0:[2001:db8::3]:25 1:198.51.100.2:25", ""},
		{"hostgone@wherever.example", "hostgone defer 451 4.3.5", ""},
		{"hostdecline@wherever.example", "last 0:198.51.100.2:999", ""},
		{"hostsome@wherever.example", "hostsome 1:198.51.100.1:25", ""},
		{"hostlame@wherever.example", "hostlame defer 451 4.4.3", ""},
	}
	var all []string
	for _, test := range tests {
		all = append(all, test.rcpt)
	}
	theirs := eximSays(t, servers, all)
	for _, test := range tests {
		d := table.Route(t.Context(), Request{Facts: facts(test.rcpt)})
		if got := compact(d); got != test.want {
			t.Errorf("%s: got %s (%s), want %s", test.rcpt, got, d.Reply.Text, test.want)
		}
		want := test.exim
		if want == "" {
			want = asExim(test.want)
		}
		if got := theirs[test.rcpt]; got != want {
			t.Errorf("%s: Exim says %s, want %s", test.rcpt, got, want)
		}
	}
}

// compact draws a decision without names; hosts of a group are in order of
// address, since they are shuffled.
func compact(d Decision) string {
	if d.Kind != Deliver {
		return describe(d)
	}
	var hosts []string
	for _, h := range d.Target.Hosts {
		hosts = append(hosts, fmt.Sprintf("%d:%s", h.Group, At(h)))
	}
	slices.Sort(hosts)
	return d.Router + " " + strings.Join(hosts, " ")
}

// asExim is a decision as Exim can tell it: without groups that are empty or
// codes.
func asExim(want string) string {
	router, rest, _ := strings.Cut(want, " ")
	for _, kind := range []string{"fail", "defer"} {
		if strings.HasPrefix(rest, kind) {
			return kind
		}
	}
	out, group, last := router, -1, ""
	for host := range strings.FieldsSeq(rest) {
		g, at, _ := strings.Cut(host, ":")
		if g != last {
			group, last = group+1, g
		}
		out += fmt.Sprintf(" %d:%s", group, at)
	}
	return out
}

// eximSays is what exim -bt says of addresses, with our name servers for its
// resolver.
func eximSays(t *testing.T, servers *dnstest.Servers, addresses []string) map[string]string {
	t.Helper()
	program, err := exec.LookPath("exim4")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	conf := filepath.Join(dir, "exim.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, eximRouters, program, dir), 0o644); err != nil {
		t.Fatal(err)
	}
	// Its exit status is not zero where one of them has no route.
	out, _ := servers.Command(t.Context(), t, program, append([]string{"-C", conf, "-bt"}, addresses...)...).Output()
	said := map[string]string{}
	address := ""
	var e eximRoute
	for line := range strings.Lines(string(out) + "end\n") {
		if strings.HasPrefix(line, " ") {
			e.read(line)
			continue
		}
		if e.router != "" {
			said[address] = e.String()
		}
		e = eximRoute{}
		name, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		address = name
		switch {
		case strings.HasPrefix(rest, "is undeliverable"):
			said[address] = "fail"
		case strings.HasPrefix(rest, "cannot be resolved at this time"):
			said[address] = "defer"
		}
	}
	if len(said) < len(addresses) {
		t.Logf("exim -bt:\n%s", out)
	}
	return said
}

// eximRoute is one address in the words of exim -bt.
type eximRoute struct {
	router string
	hosts  []string
	group  int
	rank   string
}

// read takes "router = r, transport = t" and "host NAME [ADDRESS] MX=10 port=26".
func (e *eximRoute) read(line string) {
	fields := strings.Fields(line)
	if fields[0] == "router" {
		e.router, e.group = strings.TrimSuffix(fields[2], ","), -1
		return
	}
	if fields[0] != "host" || strings.Contains(line, "[unknown]") {
		return
	}
	addr, port, rank := "", "25", fields[1] // without MX each name is a group
	for _, f := range fields[2:] {
		switch {
		case strings.HasPrefix(f, "["):
			addr = strings.Trim(f, "[]")
		case strings.HasPrefix(f, "MX="):
			rank = f
		case strings.HasPrefix(f, "port="):
			port = strings.TrimPrefix(f, "port=")
		}
	}
	if rank != e.rank {
		e.group, e.rank = e.group+1, rank
	}
	if strings.Contains(addr, ":") {
		addr = "[" + addr + "]"
	}
	e.hosts = append(e.hosts, fmt.Sprintf("%d:%s:%s", e.group, addr, port))
}

func (e *eximRoute) String() string {
	slices.Sort(e.hosts)
	return e.router + " " + strings.Join(e.hosts, " ")
}
