package main

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"quorumta/cmd/quorumta/setup"
)

// initCmd writes a new cluster.
type initCmd struct {
	Dir       string   `help:"Folder to write; each node gets one below it." required:""`
	Nodes     int      `help:"Number of nodes on one host." default:"3"`
	Host      string   `help:"That host's address." default:"127.0.0.1"`
	Port      int      `help:"Base port: nodes speak on PORT+i, take mail on PORT+100+i, are steered on PORT+200+i." default:"7900"`
	Node      []string `help:"NAME=ADDRESS, once per node: one node per host, all on the same ports." placeholder:"NAME=ADDRESS"`
	Smarthost string   `help:"HOST:PORT that takes all mail; without it, MX records decide."`
	Trust     []string `help:"CIDR network that may relay." placeholder:"CIDR"`
	Domain    string   `help:"Domain of the nodes' host names." default:"localdomain"`
	Force     bool     `help:"Write an even number of nodes."`
}

// Run writes the cluster and says what to do next.
func (c *initCmd) Run(_ context.Context, s streams) error {
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
		return setup.OnOneHost(c.Nodes, c.Host, c.Port), nil
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
