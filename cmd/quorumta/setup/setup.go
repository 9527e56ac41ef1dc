// Package setup writes a new cluster: certificates, identities and one
// configuration per node, with no other program's help.
package setup

import (
	"embed"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"text/template"
	"time"

	"quorumta/cmd/quorumta/authority"
)

//go:embed *.tmpl
var templates embed.FS

// configFile is a node's configuration in its folder.
const configFile = "quorumta.yaml"

// Plan is a cluster to be written.
type Plan struct {
	// Dir gets a folder for each node, one for the administrator, and the CA.
	Dir   string
	Nodes []Node
	// Domain completes the host names of nodes.
	Domain string
	// Smarthost takes all mail, host:port; "" means MX lookups.
	Smarthost string
	// Trust are the networks that may relay, beside loopback where the nodes
	// are on loopback.
	Trust []netip.Prefix
	// Now dates the certificates.
	Now time.Time
}

// Node is one node of a plan.
type Node struct {
	Name    string
	Host    string
	Cluster int // port between nodes
	SMTP    int
	Admin   int
	Metrics int
}

// ErrExists is wrapped by Write when something stands where it would write.
var ErrExists = errors.New("is there already: choose another --dir or remove it")

// OnOneHost plans n nodes n1, n2, … on one host with the ports that the
// command line promises: port+i between nodes, port+100+i for SMTP, port+200+i
// for administration, port+300+i for metrics.
func OnOneHost(n int, host string, port int) []Node {
	var nodes []Node
	for i := 1; i <= n; i++ {
		nodes = append(nodes, Node{
			Name: "n" + strconv.Itoa(i), Host: host,
			Cluster: port + i, SMTP: port + 100 + i, Admin: port + 200 + i, Metrics: port + 300 + i,
		})
	}
	return nodes
}

// OnHosts plans one node per host, all with the same ports. hosts are
// name=address.
func OnHosts(hosts map[string]string, names []string, port int) []Node {
	var nodes []Node
	for _, name := range names {
		nodes = append(nodes, Node{
			Name: name, Host: hosts[name],
			Cluster: port, SMTP: 25, Admin: port + 80, Metrics: 9125,
		})
	}
	return nodes
}

// Write writes the plan. It writes nothing where a node's folder exists.
func Write(p Plan) error {
	for _, n := range p.Nodes {
		if err := Vacant(filepath.Join(p.Dir, n.Name)); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(p.Dir, 0o755); err != nil {
		return fmt.Errorf("make the cluster's folder: %w", err)
	}
	ca, err := authority.New(p.Now)
	if err != nil {
		return err
	}
	if err := ca.Save(p.Dir); err != nil {
		return err
	}
	first := FirstStart{Cluster: random(16), Incarnations: map[string]string{}}
	for _, n := range p.Nodes {
		first.Incarnations[n.Name] = NewIncarnation()
	}
	for _, n := range p.Nodes {
		first.Node = n.Name
		if err := p.writeNode(n, ca, first); err != nil {
			return fmt.Errorf("node %s: %w", n.Name, err)
		}
	}
	return p.writeAdmin(ca)
}

// writeNode writes one node's folder. The CA's key goes with it: any node can
// then sign for one that joins.
func (p Plan) writeNode(n Node, ca *authority.Authority, first FirstStart) error {
	dir := filepath.Join(p.Dir, n.Name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := ca.Save(dir); err != nil {
		return err
	}
	if err := ca.Issue(dir, n.Name, []string{n.Name, n.Host}, p.Now); err != nil {
		return err
	}
	if err := writeMailCertificate(dir, p.hostname(n), n.Host, p.Now); err != nil {
		return err
	}
	if err := first.Write(dir); err != nil {
		return err
	}
	return p.writeConfig(n, filepath.Join(dir, configFile))
}

// writeMailCertificate writes mx.pem and mx.key. What the world may ask for
// must open no door inside: this certificate has an issuer of its own, which
// signs nothing else.
func writeMailCertificate(dir, hostname, host string, now time.Time) error {
	outside, err := authority.New(now)
	if err != nil {
		return err
	}
	return outside.Issue(dir, "mx", []string{hostname, host}, now)
}

// writeAdmin writes the folder with the administrator's client certificate.
func (p Plan) writeAdmin(ca *authority.Authority) error {
	dir := filepath.Join(p.Dir, "admin")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the administrator's folder: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "ca.pem"), ca.PEM(), 0o644); err != nil {
		return fmt.Errorf("write the administrator's CA: %w", err)
	}
	return ca.Issue(dir, authority.Administrator, []string{authority.Administrator}, p.Now)
}

func (p Plan) writeConfig(n Node, path string) error {
	page := head{
		Name: n.Name, Hostname: p.hostname(n), Listen: n.Address(),
		Admin: net.JoinHostPort(n.Host, strconv.Itoa(n.Admin)), Metrics: n.Metrics,
	}
	for _, m := range p.Nodes {
		page.Members = append(page.Members, member{m.Name, m.Address()})
	}
	return render(path, "quorumta.yaml.tmpl", map[string]any{
		"Head": page, "Plan": p, "Loopback": loopback(n.Host), "SMTP": p.smtpAddress(n),
	})
}

// head is what differs from node to node at the beginning of a configuration.
type head struct {
	Name, Hostname string
	Listen         string // host:port between nodes
	Heartbeat      string // "" for the default
	LogKeep        string // "" for the default
	Members        []member
	Admin          string // host:port
	Metrics        int    // port on loopback
	Guest          bool   // the CA's key is not here
}

type member struct{ Name, Address string }

// render writes a new file from a template.
func render(path, name string, data any) error {
	tmpl, err := template.ParseFS(templates, "*.tmpl")
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	return errors.Join(tmpl.ExecuteTemplate(f, name, data), f.Close())
}

// smtpAddress is where a node takes mail: everywhere, but for a cluster on
// loopback.
func (p Plan) smtpAddress(n Node) string {
	if loopback(n.Host) {
		return net.JoinHostPort(n.Host, strconv.Itoa(n.SMTP))
	}
	return ":" + strconv.Itoa(n.SMTP)
}

func (p Plan) hostname(n Node) string { return n.Name + "." + p.Domain }

// Address is a node's address between nodes.
func (n Node) Address() string { return net.JoinHostPort(n.Host, strconv.Itoa(n.Cluster)) }

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || (err == nil && a.IsLoopback())
}
