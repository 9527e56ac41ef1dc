package ldapdir

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// directory is a slapd of the test's own.
type directory struct {
	t             *testing.T
	dir           string
	clear, secure string
	roots         *x509.CertPool
	server        *exec.Cmd
}

const (
	suffix = "dc=corp,dc=example"
	admin  = "cn=admin," + suffix
)

// free is a port that nobody listens at.
func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func open(t *testing.T) *directory {
	t.Helper()
	if _, err := os.Stat("/usr/sbin/slapd"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("needs the Debian package slapd")
		}
		t.Skip("needs the Debian package slapd")
	}
	d := &directory{t: t, dir: t.TempDir(), clear: "ldap://" + free(t), secure: "ldaps://" + free(t)}
	d.certificate()
	config := fmt.Sprintf(`
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
TLSCertificateFile %[1]s/cert.pem
TLSCertificateKeyFile %[1]s/key.pem
disallow bind_anon
require authc
database mdb
suffix %[2]q
rootdn %[3]q
rootpw sesame
directory %[1]s/data
`, d.dir, suffix, admin)
	if err := os.WriteFile(filepath.Join(d.dir, "slapd.conf"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(d.dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	d.start()
	t.Cleanup(d.stop)
	d.fill()
	return d
}

// certificate makes one that is its own root.
func (d *directory) certificate() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		d.t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		d.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		d.t.Fatal(err)
	}
	d.roots = x509.NewCertPool()
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: private}} {
		text := pem.EncodeToMemory(block)
		if name == "cert.pem" {
			d.roots.AppendCertsFromPEM(text)
		}
		if err := os.WriteFile(filepath.Join(d.dir, name), text, 0o600); err != nil {
			d.t.Fatal(err)
		}
	}
}

func (d *directory) start() {
	d.t.Helper()
	d.server = exec.Command("/usr/sbin/slapd", "-h", d.clear+" "+d.secure, "-f", filepath.Join(d.dir, "slapd.conf"), "-d", "0")
	if err := d.server.Start(); err != nil {
		d.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(d.t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := net.Dial("tcp", strings.TrimPrefix(d.secure, "ldaps://"))
		if err == nil {
			_ = c.Close()
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			d.t.Fatal(err)
		}
	}
}

func (d *directory) stop() {
	if d.server != nil {
		_ = d.server.Process.Kill()
		_ = d.server.Wait()
		d.server = nil
	}
}

func (d *directory) fill() {
	d.t.Helper()
	c, err := ldap.DialURL(d.clear)
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err := c.Bind(admin, "sesame"); err != nil {
		d.t.Fatal(err)
	}
	add := func(dn string, attributes map[string][]string) {
		d.t.Helper()
		r := ldap.NewAddRequest(dn, nil)
		for name, values := range attributes {
			r.Attribute(name, values)
		}
		if err := c.Add(r); err != nil {
			d.t.Fatalf("%s: %v", dn, err)
		}
	}
	add(suffix, map[string][]string{"objectClass": {"dcObject", "organization"}, "dc": {"corp"}, "o": {"Corp"}})
	for cn, mails := range map[string][]string{
		"ann": {"ann@corp.example", "ann@home.example", "a@home.example"}, "star": {"*@corp.example", "star@home.example"},
		"brackets": {"a(b)c@corp.example", "brackets@home.example"}, "gruss": {"grüße@corp.example", "g@home.example"},
		"back": {`a\b@corp.example`, "back@home.example"},
	} {
		// description, unlike mail, may have any letters.
		add("cn="+cn+","+suffix, map[string][]string{
			"objectClass": {"inetOrgPerson"}, "cn": {cn}, "sn": {cn}, "uid": {strings.Split(mails[0], "@")[0]},
			"description": {mails[0]}, "mail": mails[1:],
		})
	}
}

func (d *directory) options() Options {
	return Options{
		Servers: []string{d.clear}, TLS: &tls.Config{RootCAs: d.roots}, BindDN: admin, Password: "sesame",
		Base: suffix, Filter: "(&(objectClass=inetOrgPerson)(description=%s))", Attributes: []string{"MAIL"},
	}
}

func ask(t *testing.T, s *Source, key string) ([]string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	values, err := s.Lookup(ctx, key)
	slices.Sort(values)
	return values, err
}

func source(t *testing.T, o Options) *Source {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestSlapd(t *testing.T) {
	d := open(t)
	ways := map[string]Options{"clear": d.options(), "starttls": d.options(), "ldaps": d.options(), "second": d.options(), "parts": d.options()}
	for name, change := range map[string]func(*Options){
		"starttls": func(o *Options) { o.StartTLS = true },
		"ldaps":    func(o *Options) { o.Servers = []string{d.secure} },
		"second":   func(o *Options) { o.Servers = []string{"ldap://" + free(t), d.clear} },
		"parts":    func(o *Options) { o.Filter = "(&(uid=%u)(description=*@%d))" },
	} {
		o := ways[name]
		change(&o)
		ways[name] = o
	}
	for name, o := range ways {
		s := source(t, o)
		for key, want := range map[string][]string{
			"ann@corp.example": {"a@home.example", "ann@home.example"}, "*@corp.example": {"star@home.example"},
			"a(b)c@corp.example": {"brackets@home.example"}, "grüße@corp.example": {"g@home.example"}, `a\b@corp.example`: {"back@home.example"},
			"nobody@corp.example": nil, "a*@corp.example": nil, "ann@corp.example)(cn=*": nil, "*)(cn=ann": nil, "ann@*": nil,
		} {
			if got, err := ask(t, s, key); err != nil || !slices.Equal(got, want) {
				t.Errorf("%s, %s: %q, %v; want %q", name, key, got, err, want)
			}
		}
		if name == "parts" {
			if got, err := ask(t, s, "ann"); got != nil || err != nil {
				t.Errorf("a key without a domain: %q, %v", got, err)
			}
		}
	}
	nowhere := d.options()
	nowhere.Base = "ou=none," + suffix
	if got, err := ask(t, source(t, nowhere), "ann@corp.example"); got != nil || err != nil {
		t.Errorf("a base that is not there: %q, %v", got, err)
	}
}

// Who may not ask, is not whom we know, or is away cannot tell; and a connection
// that the server has closed is made again.
func TestSlapdCannotTell(t *testing.T) {
	d := open(t)
	for name, c := range map[string]struct {
		change func(*Options)
		want   string
	}{
		"password":  {func(o *Options) { o.Password = "wrong" }, "Invalid Credentials"},
		"anonymous": {func(o *Options) { o.BindDN = "" }, "refused: "},
		"roots":     {func(o *Options) { o.Servers, o.TLS = []string{d.secure}, &tls.Config{} }, "certificate"},
		"away":      {func(o *Options) { o.Servers = []string{"ldap://" + free(t)} }, "connection refused"},
	} {
		o := d.options()
		c.change(&o)
		if got, err := ask(t, source(t, o), "ann@corp.example"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %q, %v; want %s", name, got, err, c.want)
		}
	}
	s := source(t, d.options())
	if _, err := ask(t, s, "ann@corp.example"); err != nil {
		t.Fatal(err)
	}
	d.stop()
	if _, err := ask(t, s, "ann@corp.example"); err == nil {
		t.Error("a server that is away answers")
	}
	d.start()
	if got, err := ask(t, s, "ann@corp.example"); err != nil || len(got) != 2 {
		t.Errorf("when it is back: %q, %v", got, err)
	}
	d.stop()
	d.start()
	if got, err := ask(t, s, "ann@corp.example"); err != nil || len(got) != 2 {
		t.Errorf("over a connection that it has closed: %q, %v", got, err)
	}
}

func TestFilters(t *testing.T) {
	for _, filter := range []string{"(mail=%s", "(mail=%x)", "(mail=%", "mail", "(mail=%s))"} {
		if _, err := Open(Options{Filter: filter}); err == nil {
			t.Errorf("%s is a filter", filter)
		}
	}
	s := &Source{o: Options{Filter: "(&(a=%s)(b=100%%)(c=%u)(d=%d))"}}
	if got, ok, err := s.filter("x*@y"); got != `(&(a=x\2a@y)(b=100%)(c=x\2a)(d=y))` || !ok || err != nil {
		t.Errorf("%s, %v, %v", got, ok, err)
	}
}
