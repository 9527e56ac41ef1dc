package setup

import (
	"context"
	"crypto"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"quorumta/cmd/quorumta/authority"
	"quorumta/cmd/quorumta/enroll"
	"quorumta/internal/admin/token"
)

// Newcomer is a node that a running cluster is asked to admit.
type Newcomer struct {
	// Cluster is host:port of a member, Token what its operator drew.
	Cluster string
	Token   token.Token
	// Dir gets the folder of the node.
	Dir string
	// Name is "" where the cluster is to choose one, Host is "" for the address
	// by which this machine reaches the cluster.
	Name, Host string
	Port       int
	// Version and Level are the program's.
	Version string
	Level   int
	Now     time.Time
}

// Join has the cluster admit the newcomer and writes its folder.
func (n Newcomer) Join(ctx context.Context) (*Admission, error) {
	if n.Name != "" {
		if err := Vacant(filepath.Join(n.Dir, n.Name)); err != nil {
			return nil, err
		}
	}
	key, err := authority.NewKey()
	if err != nil {
		return nil, err
	}
	a := enroll.Applicant{
		Member: enroll.Member{
			Name: n.Name, Incarnation: NewIncarnation(), Address: net.JoinHostPort(n.Host, strconv.Itoa(n.Port)),
			Version: n.Version, Level: n.Level,
		},
		Key: key, CA: n.Token.CA, Secret: n.Token.Secret[:],
	}
	answer, err := a.Apply(ctx, n.Cluster)
	if err != nil {
		return nil, err
	}
	path, err := joined{
		Dir: n.Dir, Address: a.Member.Address, Incarnation: a.Member.Incarnation, Key: key, Answer: answer, Now: n.Now,
	}.write()
	if err != nil {
		return nil, fmt.Errorf("the cluster has admitted %s, but its folder could not be written, and the token is spent: draw a new one and try again: %w", answer.Name, err)
	}
	return &Admission{
		Node: answer.Name, Incarnation: a.Member.Incarnation, Cluster: answer.Cluster, Config: path, Members: answer.Members,
	}, nil
}

// Admission is what became of a request to join.
type Admission struct {
	Node        string `json:"node"`
	Incarnation string `json:"incarnation"`
	Cluster     string `json:"cluster"`
	// Config is the path of the node's configuration.
	Config  string            `json:"config"`
	Members map[string]string `json:"members"`
}

// joined is a node that a running cluster has admitted.
type joined struct {
	// Dir gets the folder of the node.
	Dir string
	// Address is host:port between nodes.
	Address     string
	Incarnation string
	Key         crypto.Signer
	Answer      *enroll.Answer
	Now         time.Time
}

// write writes the node's folder and returns the path of its configuration. It
// writes nothing where the folder exists.
func (j joined) write() (config string, err error) {
	dir := filepath.Join(j.Dir, j.Answer.Name)
	if err := Vacant(dir); err != nil {
		return "", err
	}
	n, err := j.node()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make the node's folder: %w", err)
	}
	for name, text := range map[string]string{"ca.pem": j.Answer.CA, n.Name + ".pem": j.Answer.Certificate} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return "", fmt.Errorf("write %s: %w", name, err)
		}
	}
	if err := authority.WriteKey(filepath.Join(dir, n.Name+".key"), j.Key); err != nil {
		return "", err
	}
	hostname := n.Name + "." + j.Answer.Pattern.Domain
	if err := writeMailCertificate(dir, hostname, n.Host, j.Now); err != nil {
		return "", err
	}
	config = filepath.Join(dir, configFile)
	if err := j.writeConfig(n, hostname, config); err != nil {
		return "", err
	}
	first := FirstStart{
		Cluster: j.Answer.Cluster, Node: n.Name, Joining: true, Members: j.Answer.Members,
		Incarnations: map[string]string{n.Name: j.Incarnation},
	}
	return config, first.Write(dir)
}

// Vacant fails with ErrExists where a node's folder exists.
func Vacant(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return fmt.Errorf("%s %w", dir, ErrExists)
	}
	return nil
}

// node has the ports of a node with the address: as OnOneHost on loopback, as
// OnHosts elsewhere.
func (j joined) node() (Node, error) {
	host, text, err := net.SplitHostPort(j.Address)
	if err != nil {
		return Node{}, fmt.Errorf("the node's address: %w", err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return Node{}, fmt.Errorf("the node's port: %w", err)
	}
	n := Node{Name: j.Answer.Name, Host: host, Cluster: port, SMTP: 25, Admin: port + 80, Metrics: 9125}
	if loopback(host) {
		n.SMTP, n.Admin, n.Metrics = port+100, port+200, port+300
	}
	return n, nil
}

func (j joined) writeConfig(n Node, hostname, path string) error {
	p := j.Answer.Pattern
	page := head{
		Name: n.Name, Hostname: hostname, Listen: j.Address, Heartbeat: p.Heartbeat, LogKeep: p.LogKeep,
		Admin: net.JoinHostPort(n.Host, strconv.Itoa(n.Admin)), Metrics: n.Metrics, Guest: true,
	}
	for _, name := range slices.Sorted(maps.Keys(j.Answer.Members)) {
		page.Members = append(page.Members, member{name, j.Answer.Members[name]})
	}
	var listeners []enroll.Listener
	for i, l := range p.Listeners {
		l.Address = n.listen(l.Address, i)
		listeners = append(listeners, l)
	}
	return render(path, "joined.yaml.tmpl", map[string]any{"Head": page, "Listeners": listeners, "Shared": p.Shared})
}

// listen is where the node has the i-th listener that another node has at the
// address.
func (n Node) listen(address string, i int) string {
	host, port, err := net.SplitHostPort(address)
	switch {
	case loopback(n.Host):
		return net.JoinHostPort(n.Host, strconv.Itoa(n.SMTP+i*1000))
	case err != nil || host == "" || host == "0.0.0.0" || host == "::":
		return address
	}
	return net.JoinHostPort(n.Host, port)
}
