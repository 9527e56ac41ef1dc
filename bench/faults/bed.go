package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"quorumta/bench/inject"
	"quorumta/bench/netns"
	"quorumta/bench/proc"
	"quorumta/bench/sink"
	"quorumta/bench/trial"
)

// bed is a cluster and what it stands on.
type bed struct {
	o   Options
	dir string
	lab *netns.Lab // nil on a plain bed
	// members are in the order of trial's nodes; former ones have left.
	members []*member
	former  []*member
	names   *inject.Names // nil on a plain bed
	trial   *trial.Trial
	// doubts is how many recipients were in doubt before this round.
	doubts int64
}

// member is a node with its host and its disk, nil on a plain bed.
type member struct {
	*proc.Node // nil until it was written
	name       string
	host       *netns.Host
	disk       *inject.Disk
}

const (
	// diskSize is an image's; it takes room only where it was written.
	diskSize = 8 << 30
	// hopTakes is how long the next hop takes for a message, so that mail is
	// under way when a fault strikes.
	hopTakes = 100 * time.Millisecond
	// logKeep makes a node that was away need a snapshot soon.
	logKeep = "16MB"
	// startWithin bounds the start of a bed.
	startWithin = 45 * time.Second
)

// makeBed starts a cluster in dir. What a failure leaves is taken away.
func makeBed(ctx context.Context, o Options, dir string) (*bed, error) {
	b := &bed{o: o, dir: dir}
	starting, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	if err := b.start(starting); err != nil {
		return nil, errors.Join(fmt.Errorf("make a bed: %w", err), b.close())
	}
	return b, nil
}

func (b *bed) start(ctx context.Context) error {
	if err := os.MkdirAll(b.dir, 0o755); err != nil {
		return err
	}
	for i := 1; i <= b.o.Nodes; i++ {
		b.members = append(b.members, &member{name: "n" + strconv.Itoa(i)})
	}
	to := trial.Options{Binary: b.o.Binary, Dir: filepath.Join(b.dir, "cluster"), Nodes: b.o.Nodes,
		Sink: sink.Mode{Delay: sink.Duration(hopTakes)}, Edit: b.configure}
	if need(namespaces).missing(b.o.Plain) == nil {
		if err := b.lay(ctx, &to); err != nil {
			return err
		}
	}
	for _, m := range b.members {
		if err := b.furnish(ctx, m); err != nil {
			return err
		}
	}
	t, err := trial.Start(ctx, to)
	if err != nil {
		return err
	}
	b.trial = t
	for i, n := range t.Cluster.Nodes {
		b.members[i].Node = n
	}
	return nil
}

// furnish gives a member a disk, if there are any.
func (b *bed) furnish(ctx context.Context, m *member) (err error) {
	if need(disks).missing(b.o.Plain) != nil {
		return nil
	}
	m.disk, err = inject.NewDisk(ctx, filepath.Join(b.dir, m.name+".img"), filepath.Join(b.dir, "disk-"+m.name), diskSize)
	return err
}

// lay makes a host for each node, and a resolver that finds the next hop.
func (b *bed) lay(ctx context.Context, to *trial.Options) error {
	var names []string
	for _, m := range b.members {
		names = append(names, m.name)
	}
	var err error
	if b.lab, err = netns.New(ctx, names); err != nil {
		return err
	}
	if b.names, err = inject.ServeNames(netip.AddrPortFrom(b.lab.Gateway, 53).String(), b.lab.Gateway); err != nil {
		return err
	}
	for i, h := range b.lab.Hosts {
		b.members[i].host = h
		to.Hosts = append(to.Hosts, h.Address.String())
	}
	to.Trust = b.lab.Network.String()
	to.SinkListen = netip.AddrPortFrom(b.lab.Gateway, 25).String()
	to.Launch = func(node string, cmd *exec.Cmd) error { return b.member(node).host.Start(cmd) }
	return nil
}

// member is the member of that name.
func (b *bed) member(name string) *member {
	for _, m := range b.members {
		if m.name == name {
			return m
		}
	}
	return nil
}

// configure makes a node quick to try again and to end, and has it use the
// bed.
func (b *bed) configure(node string, config []byte) []byte {
	m := b.member(node)
	config = proc.KeepLog(config, logKeep)
	for from, to := range map[string]string{
		"F 2h 15m":        "F 2h 1s",
		"free_disk: 5GB":  "free_disk: 100MB",
		"per_client: 50,": "per_client: 4000,",
	} {
		config = bytes.Replace(config, []byte(from), []byte(to), 1)
	}
	if m.disk != nil {
		config = bytes.Replace(config, []byte("data: data"), []byte("data: "+filepath.Join(m.disk.Dir, "data")), 1)
	}
	add := func(key, value string) { // unless a node that joins has it from another
		if !bytes.Contains(config, []byte("\n"+key+":")) {
			config = fmt.Appendf(config, "%s: %s\n", key, value)
		}
	}
	add("drain_grace", "1s")
	if b.lab != nil {
		add("dns", fmt.Sprintf("{servers: [\"%s:53\"]}", b.lab.Gateway))
	}
	return config
}

// close takes everything away. A disk that hangs is let go first: nobody who
// waits for it can be killed.
func (b *bed) close() error {
	var errs []error
	all := append(b.former, b.members...)
	for _, m := range all {
		if m.disk != nil {
			errs = append(errs, m.disk.Thaw())
		}
	}
	if b.trial != nil {
		b.trial.Close()
	}
	for _, m := range all {
		if m.disk != nil {
			errs = append(errs, m.disk.Close())
		}
	}
	if b.names != nil {
		errs = append(errs, b.names.Close())
	}
	if b.lab != nil {
		errs = append(errs, b.lab.Close())
	}
	return errors.Join(errs...)
}

// tempPrefix begins the names of temporary folders: prefix, process id, "-".
const tempPrefix = "quorumta-faults-"

// sweep takes away what runs that were killed have left.
func sweep() error {
	err := inject.SweepDisks(filepath.Join(os.TempDir(), tempPrefix), func(path string) bool { return !abandoned(path) })
	if need(namespaces).missing(false) == nil {
		err = errors.Join(err, netns.Sweep())
	}
	left, _ := filepath.Glob(filepath.Join(os.TempDir(), tempPrefix+"*")) // the pattern is a good one
	for _, dir := range left {
		if abandoned(dir) {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}
	return err
}

// abandoned reports whether a path is a temporary folder's, or below it, whose
// process is gone.
func abandoned(path string) bool {
	digits, _, _ := strings.Cut(strings.TrimPrefix(path, filepath.Join(os.TempDir(), tempPrefix)), "-")
	pid, err := strconv.Atoi(digits)
	return err == nil && syscall.Kill(pid, 0) == syscall.ESRCH
}
