package netns

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// prefix begins every name that a laboratory gives: prefix, process id, "-" or
// "v", host.
const prefix = "qf"

// Lab is a bridge with hosts.
type Lab struct {
	Hosts []*Host
	// Gateway is the bridge's address, where the program itself is reached.
	Gateway netip.Addr
	// Network is that of all addresses.
	Network netip.Prefix

	bridge string
}

// Host is one network namespace.
type Host struct {
	Name    string
	Address netip.Addr

	space string // the namespace
	link  string // the cable's end at the bridge
}

// Available says what is missing, nil for nothing.
func Available() error {
	if os.Geteuid() != 0 {
		return errors.New("network namespaces need root")
	}
	for program, pkg := range map[string]string{"ip": "iproute2", "iptables-restore": "iptables"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("there is no %s: apt-get install %s", program, pkg)
		}
	}
	return nil
}

// New makes a bridge and a host for each name. What a failure leaves is taken
// away.
func New(ctx context.Context, names []string) (*Lab, error) {
	network, err := freeNetwork()
	if err != nil {
		return nil, err
	}
	l := &Lab{Network: network, Gateway: network.Addr().Next(), bridge: prefix + strconv.Itoa(os.Getpid())}
	batch := fmt.Sprintf("link add %[1]s type bridge\naddr add %[2]s/%[3]d dev %[1]s\nlink set %[1]s up\n",
		l.bridge, l.Gateway, network.Bits())
	if err := ip(ctx, batch); err != nil {
		return nil, errors.Join(fmt.Errorf("make the bridge: %w", err), l.Close())
	}
	for _, name := range names {
		if _, err := l.Add(ctx, name); err != nil {
			return nil, errors.Join(err, l.Close())
		}
	}
	return l, nil
}

// Add makes one more host.
func (l *Lab) Add(ctx context.Context, name string) (*Host, error) {
	n := len(l.Hosts) + 1
	address := l.Gateway
	for range n {
		address = address.Next()
	}
	h := &Host{Name: name, Address: address, space: l.bridge + "-" + name, link: fmt.Sprintf("%sv%d", l.bridge, n)}
	l.Hosts = append(l.Hosts, h)
	outside := fmt.Sprintf("netns add %[1]s\nlink add %[2]s type veth peer name eth0 netns %[1]s\nlink set %[2]s master %[3]s up\n",
		h.space, h.link, l.bridge)
	inside := fmt.Sprintf("link set lo up\naddr add %s/%d dev eth0\nlink set eth0 up\nroute add default via %s\n",
		h.Address, l.Network.Bits(), l.Gateway)
	err := ip(ctx, outside)
	if err == nil {
		err = ip(ctx, inside, "-n", h.space)
	}
	if err != nil {
		return nil, fmt.Errorf("make host %s: %w", name, err)
	}
	return h, nil
}

// Close takes hosts and bridge away. Processes that still run in a namespace
// keep it, without its cable.
func (l *Lab) Close() error {
	var errs []error
	for _, h := range l.Hosts {
		// A namespace takes its end of the cable away when it pleases; the
		// name is to be free at once.
		if _, err := net.InterfaceByName(h.link); err == nil {
			errs = append(errs, ip(context.Background(), "link del "+h.link+"\n"))
		}
		if _, err := os.Stat(runDir + h.space); err == nil {
			errs = append(errs, ip(context.Background(), "netns del "+h.space+"\n"))
		}
	}
	if _, err := net.InterfaceByName(l.bridge); err == nil {
		errs = append(errs, ip(context.Background(), "link del "+l.bridge+"\n"))
	}
	return errors.Join(errs...)
}

// runDir is where iproute2 keeps namespaces by name.
const runDir = "/run/netns/"

// Sweep takes away what processes that were killed have left.
func Sweep() error {
	var errs []error
	spaces, err := os.ReadDir(runDir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, s := range spaces {
		if abandoned(s.Name()) {
			errs = append(errs, ip(context.Background(), "netns del "+s.Name()+"\n"))
		}
	}
	links, err := net.Interfaces()
	if err != nil {
		return err
	}
	for _, i := range links {
		if abandoned(i.Name) && !strings.Contains(i.Name, "v") { // cables go with their hosts
			errs = append(errs, ip(context.Background(), "link del "+i.Name+"\n"))
		}
	}
	return errors.Join(errs...)
}

// abandoned reports whether a name is a laboratory's whose process is gone.
func abandoned(name string) bool {
	rest, ok := strings.CutPrefix(name, prefix)
	digits := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if digits < 0 {
		digits = len(rest)
	}
	pid, err := strconv.Atoi(rest[:digits])
	return ok && err == nil && syscall.Kill(pid, 0) == syscall.ESRCH
}

// freeNetwork is a network of 254 hosts in 10.128.0.0/9 that this machine has
// no address in, sought from a place that depends on the process.
func freeNetwork() (netip.Prefix, error) {
	taken, err := net.InterfaceAddrs()
	if err != nil {
		return netip.Prefix{}, err
	}
	for i := range 1 << 15 {
		n := (os.Getpid() + i) % (1 << 15)
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(128 + n>>8), byte(n), 0}), 24)
		free := true
		for _, a := range taken {
			other, err := netip.ParsePrefix(a.String())
			free = free && (err != nil || !other.Overlaps(p))
		}
		if free {
			return p, nil
		}
	}
	return netip.Prefix{}, errors.New("no network is free in 10.128.0.0/9")
}

// ip gives commands to the program of that name, one a line.
func ip(ctx context.Context, batch string, args ...string) error {
	return feed(ctx, batch, "ip", append(args, "-batch", "-")...)
}

// feed runs a program with an input.
func feed(ctx context.Context, input, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, bytes.TrimSpace(out))
	}
	return nil
}
