package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// example is a file with every key, as the documentation shows it.
const example = `node: n1
hostname: relay1.example.com
postmaster: postmaster@corp.example
data: data
cluster:
  listen: 10.0.0.1:7900
  members: {n1: 10.0.0.1:7900, n2: 10.0.0.2:7900, n3: 10.0.0.3:7900}
  tls: {ca: ca.pem, cert: n1.pem, key: n1.key}
  replicas: 5
  log_keep: 2GB
admin: {socket: /run/quorumta/admin.sock, listen: 10.0.0.1:7980, metrics: 127.0.0.1:9125}
nets:  {trusted: [127.0.0.0/8, "::1", 10.20.0.0/16], balancers: [10.0.0.250]}
lists: {ours: [corp.example, example.com]}
tls: {cert: mx.pem, key: mx.key}
listeners:
  - {name: mx, address: ":25", tls: offer, proxy: balancers}
limits: {message: 50MB, recipients: 1000, connections: 2000, per_client: 50, received: 50}
policy:
  rcpt:
    - {name: inside, if: client.ip in nets.trusted, do: accept}
    - {name: spam, if: rcpt.local == "trap", do: reject, reply: 550 5.7.1 no}
    - {name: inbound, if: rcpt.domain in lists.ours, do: accept}
routers:
  - {name: exchange, if: rcpt.domain in lists.ours, hosts: [mail1.corp.example:25, [mail2.corp.example, "[::1]:26"]], tls: verify, trace: true}
  - {name: internet, mx: {}}
retry:
  - {name: default, steps: [F 2h 15m, G 16h 1h 1.5, F 4d 6h]}
dsn: {warn_after: [4h], return: headers, max_body: 50KB}
keep: {history: 7d, free_disk: 5GB}
dns: {servers: [127.0.0.1, "127.0.0.1:5353"], trust_ad: true}
log: {format: json, level: debug}
submit_wait: 20s
drain_grace: 1m30s
in_doubt: hold
transports:
  - {name: dovecot, lmtp: {socket: /run/dovecot/lmtp}}
  - {name: boxes, lmtp: {}}
  - {name: nowhere, discard: {}}
  - {name: archive, pipe: {command: [/usr/local/bin/archive, --for, "${rcpt.address}"], user: archive, timeout: 10m, output: 20KB, temporary: [75], processes: 4, environment: {LIST: all}}}
  - {name: hook, http: {url: "https://hooks.example/mail/${rcpt.local}", headers: {Authorization: Bearer sesame, X-For: "${rcpt.address}"}, timeout: 10s, ca: /etc/ssl/hooks.pem}}
  - {name: files, maildir: {path: '"/srv/mail/" + rcpt.domain + "/" + rcpt.local', user: vmail, quota: 1GB, quota_messages: 100000}}
certificates:
  - {name: partners, cert: mx.pem, key: mx.key}
`

// write puts the text and the files it names into a folder.
func write(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"ca.pem", "n1.pem", "n1.key", "mx.pem", "mx.key"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "quorumta.yaml")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestExampleLoads(t *testing.T) {
	path := write(t, example)
	f, err := Load(path, "")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(path)
	for _, c := range []struct{ name, got, want any }{
		{"data", f.Data, filepath.Join(dir, "data")},
		{"socket", f.Admin.Socket, "/run/quorumta/admin.sock"},
		{"key", f.Cluster.TLS.Key, filepath.Join(dir, "n1.key")},
		{"message", f.Limits.Message, Size(50_000_000)},
		{"replicas", f.Cluster.Replicas, 5},
		{"log_keep", f.Cluster.LogKeep, Size(2_000_000_000)},
		{"max_body", f.DSN.MaxBody, Size(50_000)},
		{"history", f.Keep.History, Duration(7 * 24 * time.Hour)},
		{"drain_grace", f.DrainGrace, Duration(90 * time.Second)},
		{"hosts", f.Routers[0].Hosts, Hosts{{"mail1.corp.example:25"}, {"mail2.corp.example", "[::1]:26"}}},
		{"mx", f.Routers[1].MX != nil, true},
		{"steps", f.Retry[0].Steps, []string{"F 2h 15m", "G 16h 1h 1.5", "F 4d 6h"}},
		{"trust_ad", f.DNS.TrustAD != nil && *f.DNS.TrustAD, true},
		{"reply", f.Policy.RCPT[1].Reply.Code, 550},
	} {
		if diff := cmp.Diff(c.want, c.got); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

func TestOneFileForAllNodes(t *testing.T) {
	path := write(t, example)
	f, err := Load(path, "n3")
	if err != nil || f.Node != "n3" {
		t.Errorf("node %v, %v", f, err)
	}
	shared := write(t, strings.Replace(example, "  listen: 10.0.0.1:7900\n", "", 1))
	if f, err := Load(shared, "n3"); err != nil || f.Cluster.Listen != "10.0.0.3:7900" {
		t.Errorf("a node of a shared file listens on %q, %v", f.Cluster.Listen, err)
	}
	if _, err := Load(path, "n9"); err == nil || !strings.Contains(err.Error(), "not among the members") {
		t.Errorf("a node that is no member: %v", err)
	}
}

// TestFaults changes one thing of the example and expects one fault.
func TestFaults(t *testing.T) {
	for _, c := range []struct{ name, old, new, want string }{
		{"unknown key", "hostname:", "hostnam:", `2:1: unknown key "hostnam", did you mean hostname?`},
		{"unknown inner key", "max_body: 50KB", "maxbody: 50KB", `28:42: unknown key "maxbody", did you mean max_body?`},
		{"size", "50MB", "50 megs", `17:19: "50 megs" does not fit, a size is written as`},
		{"duration", "7d", "a week", `29:17: "a week" does not fit, a duration is written as`},
		{"prefix", "10.20.0.0/16", "10.20.0.1/16", `12:39: "10.20.0.1/16" does not fit, 10.20.0.1/16 has bits beyond its length`},
		{"misspelt net", "nets.trusted, do", "nets.trustd, do", `20:39: unknown name nets.trustd; did you mean nets.trusted?`},
		{"not a bool", "rcpt.domain in lists.ours, do", "rcpt.domain, do", `22:27: `},
		{"verdict", "do: reject", "do: rejct", `21:50: "rejct" is not possible, did you mean reject?`},
		{"router of neither kind", "mx: {}", "tls: off", `25:5: a router has one of hosts, mx, accept, redirect and copy`},
		{"DANE", "mx: {}", "mx: {}, dane: maybe", `"maybe" is not possible`},
		{"DANE without TLS", "mx: {}", "mx: {}, tls: off, dane: require", `dane: require with tls: off is not possible, DANE is about TLS`},
		{"MTA-STS without TLS", "mx: {}", "mx: {}, tls: off, mta_sts: on", `mta_sts: on with tls: off is not possible`},
		{"MTA-STS of hosts", "tls: verify", "tls: verify, mta_sts: on", `mta_sts: on needs mx`},
		{"reports from nobody", "log:", "tls_reports: {contact: me}\nlog:", `tls_reports needs from`},
		{"unquoted IPv6", `"[::1]:26"`, `::1:26:`, `not YAML`},
		{"host", "mail1.corp.example:25", "mail1.corp.example:smtp", `is not a host, the port is not between 1 and 65535`},
		{"listener without address", `address: ":25", `, ``, `listeners[0].address is missing`},
		{"unknown proxy net", "proxy: balancers", "proxy: lb", `there is no net lb`},
		{"unknown certificate", "proxy: balancers", "certificate: lb", `there is no certificate lb`},
		{"certificate without key", "partners, cert: mx.pem, key: mx.key", "partners, cert: mx.pem", `a certificate needs cert and key`},
		{"missing certificate", "partners, cert: mx.pem", "partners, cert: old.pem", `cannot read`},
		{"name twice", "name: inbound", "name: inside", `the name inside is used twice`},
		{"list expected", "steps: [F 2h 15m, G 16h 1h 1.5, F 4d 6h]", "steps: F 2h", `a list is expected here`},
		{"alias", "do: reject", "do: *reject", `21:50: not YAML: *reject refers to nothing`},
		{"missing file", "mx.pem", "none.pem", `cannot read`},
		{"twice", "data: data", "data: data\ndata: more", `key "data" stands here twice`},
		{"recipients", "recipients: 1000", "recipients: 10", `fewer than 100 recipients are not allowed`},
		{"even replicas", "replicas: 5", "replicas: 4", `9:13: 4 replicas are not possible, write 1, 3 or 5: an even number`},
		{"no replicas", "replicas: 5", "replicas: 0", `9:13: 0 replicas are not possible`},
		{"no log", "log_keep: 2GB", "log_keep: 15MB", `10:13: a shard keeps at least 16MB of log`},
		{"not a number", "recipients: 1000", "recipients: many", `"many" is not a number`},
		{"second document", "log:", "---\nlog:", `a second document`},
		{"broken", "lists: {", "lists: {{", `not YAML`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !strings.Contains(example, c.old) {
				t.Fatalf("the example has no %q", c.old)
			}
			_, err := Load(write(t, strings.Replace(example, c.old, c.new, 1)), "")
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got\n%v\nwant\n%s", err, c.want)
			}
		})
	}
}

func TestAllFaultsAtOnce(t *testing.T) {
	text := strings.NewReplacer("hostname:", "hostnam:", "50MB", "x", "7d", "y").Replace(example)
	_, err := Load(write(t, text), "")
	faults, ok := err.(Faults)
	if !ok || len(faults) != 4 {
		t.Fatalf("want 4 faults (unknown key, hostname missing, size, duration): %v", err)
	}
	for i := 1; i < len(faults); i++ {
		if faults[i].Line < faults[i-1].Line {
			t.Errorf("not in the file's order:\n%v", err)
		}
	}
}

func TestKeysThatOthersMayReadAreRefused(t *testing.T) {
	path := write(t, example)
	if err := os.Chmod(filepath.Join(filepath.Dir(path), "n1.key"), 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path, ""); err == nil || !strings.Contains(err.Error(), "may be read by others") {
		t.Errorf("a key with mode 640: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(example)
	f.Add("policy: {rcpt: [{if: &x *x}]}")
	f.Fuzz(func(t *testing.T, text string) {
		file, d := parse("f", []byte(text))
		if file == nil && len(d.Faults) == 0 {
			t.Error("neither a file nor a fault")
		}
	})
}

func TestABalancerInATrustedNetIsWarnedOf(t *testing.T) {
	text := strings.NewReplacer("[10.0.0.250]", "[10.20.0.5]", ", proxy: balancers", "").Replace(example)
	f, err := Load(write(t, text), "")
	if err != nil {
		t.Fatal(err)
	}
	if w := f.Warnings(); len(w) != 1 || !strings.Contains(w[0], "nets.trusted holds an address of nets.balancers") {
		t.Errorf("warnings: %v", w)
	}
	f, err = Load(write(t, example), "")
	if err != nil || len(f.Warnings()) > 0 {
		t.Errorf("the example is warned of: %v, %v", f.Warnings(), err)
	}
}

// Where nothing is said, domains' demands hold wherever TLS is used.
func TestDomainsAreAskedWhatTheyDemand(t *testing.T) {
	for _, c := range []struct {
		r    Router
		dane string
		sts  bool
	}{
		{Router{MX: &MX{}}, "on", true},
		{Router{MX: &MX{}, TLS: "off"}, "off", false},
		{Router{MX: &MX{}, DANE: "require", MTASTS: "off"}, "require", false},
		{Router{MX: &MX{}, DANE: "off"}, "off", true},
		{Router{Hosts: Hosts{{"a"}}}, "on", false},
	} {
		if c.r.UsesDANE() != c.dane || c.r.UsesMTASTS() != c.sts {
			t.Errorf("%+v: %s, %t", c.r, c.r.UsesDANE(), c.r.UsesMTASTS())
		}
	}
}
