package main

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"quorumta/cmd/quorumta/clustering"
	"quorumta/cmd/quorumta/setup"
	"quorumta/internal/admin/token"
	"quorumta/queue/event"
)

// initCmd writes a new cluster.
type initCmd struct {
	Dir       string   `help:"Folder to write; each node gets one below it." required:""`
	Nodes     int      `help:"Number of nodes on one host." default:"3"`
	Host      string   `help:"That host's address; 127.0.0.1 by default. With --join: this node's, by default the one that reaches the cluster."`
	Port      int      `help:"Base port: nodes speak on PORT+i, take mail on PORT+100+i, are steered on PORT+200+i. With --join: the node speaks on PORT." default:"7900"`
	Node      []string `help:"NAME=ADDRESS, once per node: one node per host, all on the same ports." placeholder:"NAME=ADDRESS"`
	Smarthost string   `help:"HOST:PORT that takes all mail; without it, MX records decide."`
	Trust     []string `help:"CIDR network that may relay." placeholder:"CIDR"`
	Domain    string   `help:"Domain of the nodes' host names." default:"localdomain"`
	Force     bool     `help:"Write an even number of nodes."`
	Join      string   `help:"HOST:PORT between nodes of a running cluster's member: write one node that joins it." placeholder:"HOST:PORT"`
	Token     string   `help:"What \"quorumta cluster token\" printed, for --join." placeholder:"TOKEN"`
	Name      string   `help:"Name of the node that joins; without it, the cluster chooses."`
	JSON      bool     `help:"With --join: print the stable form." name:"json"`
}

// Run writes the cluster and says what to do next.
func (c *initCmd) Run(ctx context.Context, s streams) error {
	if c.Join != "" || c.Token != "" {
		return c.join(ctx, s)
	}
	nodes, err := c.plan()
	if err != nil {
		return err
	}
	if len(nodes)%2 == 0 && !c.Force {
		return usageError{Text: fmt.Sprintf("%d nodes stop when half of them are lost, as %d do: choose an odd number, or say --force", len(nodes), len(nodes)-1)}
	}
	p := setup.Plan{Dir: c.Dir, Nodes: nodes, Domain: c.Domain, Smarthost: c.Smarthost, Now: time.Now()}
	for _, t := range c.Trust {
		prefix, err := netip.ParsePrefix(t)
		if err != nil {
			return usageError{Text: fmt.Sprintf("--trust %s: a network is written as 10.20.0.0/16", t)}
		}
		p.Trust = append(p.Trust, prefix)
	}
	if err := setup.Write(p); err != nil {
		return err
	}
	for _, n := range nodes {
		if _, err := fmt.Fprintf(s.Out, "quorumta serve --config %s\n", filepath.Join(c.Dir, n.Name, "quorumta.yaml")); err != nil {
			return err
		}
	}
	return nil
}

// plan turns the flags into nodes.
func (c *initCmd) plan() ([]setup.Node, error) {
	if len(c.Node) == 0 {
		if c.Nodes < 1 || c.Nodes > 99 {
			return nil, usageError{Text: "--nodes must be between 1 and 99"}
		}
		if c.Port < 1 || c.Port+300+c.Nodes > 65535 {
			return nil, usageError{Text: "--port must leave room for PORT+300+NODES"}
		}
		return setup.OnOneHost(c.Nodes, cmp.Or(c.Host, "127.0.0.1"), c.Port), nil
	}
	hosts := map[string]string{}
	var names []string
	for _, n := range c.Node {
		name, host, ok := strings.Cut(n, "=")
		if !ok || name == "" || strings.ContainsAny(name, "/. ") {
			return nil, usageError{Text: fmt.Sprintf("--node %s: NAME=ADDRESS is expected, NAME without dots", n)}
		}
		if _, err := netip.ParseAddr(host); err != nil {
			return nil, usageError{Text: fmt.Sprintf("--node %s: %q is not an IP address", n, host)}
		}
		if slices.Contains(names, name) {
			return nil, usageError{Text: fmt.Sprintf("--node %s: the name is used twice", n)}
		}
		hosts[name] = host
		names = append(names, name)
	}
	return setup.OnHosts(hosts, names, c.Port), nil
}

// joinBound is how long the cluster may take to admit a node.
const joinBound = 30 * time.Second

// join has a running cluster admit one node, and writes it.
func (c *initCmd) join(ctx context.Context, s streams) error {
	if c.Join == "" || c.Token == "" {
		return usageError{Text: "--join and --token go together: quorumta cluster token, on a member, prints a token"}
	}
	if _, _, err := net.SplitHostPort(c.Join); err != nil {
		return usageError{Text: fmt.Sprintf("--join %s: HOST:PORT is expected, the cluster port of a member", c.Join)}
	}
	t, err := token.Parse(c.Token)
	if err != nil {
		return usageError{Text: "--token: " + err.Error()}
	}
	if c.Port < 1 || c.Port > 65535 {
		return usageError{Text: "--port must be between 1 and 65535"}
	}
	ctx, cancel := context.WithTimeout(ctx, joinBound)
	defer cancel()
	a, err := setup.Newcomer{
		Cluster: c.Join, Token: t, Dir: c.Dir, Name: c.Name, Host: c.Host, Port: c.Port,
		Version: version(), Level: event.Newest, Now: time.Now(),
	}.Join(ctx)
	if err != nil {
		return err
	}
	return clustering.Tell(s, a, c.JSON)
}
