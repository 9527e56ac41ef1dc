package sim_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"quorumta/cluster"
	"quorumta/delivery"
	"quorumta/delivery/dsn"
	"quorumta/delivery/retry"
	"quorumta/delivery/route"
	"quorumta/delivery/site"
	"quorumta/delivery/smtpc"
	"quorumta/internal/dns"
	"quorumta/internal/mail"
	"quorumta/internal/policy"
	"quorumta/internal/sim"
	"quorumta/queue"
	"quorumta/smtp"
)

// Cluster is a whole cluster on one network. Its methods are called from one
// goroutine, unless it is said.
type Cluster struct {
	t        *testing.T
	random   *rand.Rand
	net      *sim.Network
	log      *diary
	operator *operator

	mu       sync.Mutex // guards the rest; the owner alone writes, and reads without it
	names    []string   // the members, those that are about to be, and those that still are
	machines map[string]*machine

	// graves are the processes that are dead already and run on unheard.
	graves sync.WaitGroup
}

// machine is one machine: what survives its process, and that.
type machine struct {
	name string
	// incarnations are those that init wrote for it: all founders', or its own
	// where it has joined. seeds are name and address of whom it asks first.
	incarnations map[string]string
	seeds        map[string]string
	joined       bool // else it is a founder
	idle         bool // it is not to be started: not yet, or never again
	disk         *sim.Disk
	run          atomic.Pointer[process] // nil while none runs
}

// process is one run of a node.
type process struct {
	node     *cluster.Node
	queue    *queue.Queue
	delivery *delivery.Deliverer
	smtp     *smtp.Server
	rooms    []*room // in the order they are ended
	door     door
	dead     atomic.Bool
	fatal    atomic.Pointer[error]
}

// door is how messages come to the queue without a session: like sessions,
// those that are inside when the process is to end are waited for.
type door struct {
	mu     sync.Mutex // guards closed, and every entry
	closed bool
	inside sync.WaitGroup
}

// enter reports whether the door is open; whoever is in calls inside.Done.
func (d *door) enter() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.closed {
		d.inside.Add(1)
	}
	return !d.closed
}

// drain closes the door and waits until nobody is inside.
func (d *door) drain() {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.inside.Wait()
}

// room is a part of a process that runs until its context ends.
type room struct {
	name  string
	stop  context.CancelFunc
	ended chan struct{}
	err   error // read after ended
}

// NewCluster starts a cluster of so many nodes, which has as many shards as it
// has nodes.
func NewCluster(t *testing.T, nodes int, random *rand.Rand, log *diary) *Cluster {
	c := &Cluster{t: t, random: random, net: sim.NewNetwork(), log: log, machines: map[string]*machine{}}
	c.operator = &operator{cluster: c, random: rand.New(rand.NewPCG(random.Uint64(), 0)), named: nodes}
	incarnations, seeds := map[string]string{}, map[string]string{}
	for i := range nodes {
		name := fmt.Sprintf("n%d", i+1)
		incarnations[name], seeds[name] = "i"+name, name+":7900"
		c.names = append(c.names, name)
		c.machines[name] = &machine{name: name, incarnations: incarnations, seeds: seeds, disk: sim.NewDisk()}
	}
	for _, name := range c.names {
		c.Start(name)
	}
	return c
}

// process is what runs on the machine of that name; nil if nothing does. It may
// be called from any goroutine.
func (c *Cluster) process(name string) *process {
	c.mu.Lock()
	m := c.machines[name]
	c.mu.Unlock()
	if m == nil {
		return nil
	}
	return m.run.Load()
}

// someone is the name of a member that the number picks. It may be called from
// any goroutine.
func (c *Cluster) someone(n int) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.names[n%len(c.names)]
}

// Start starts the node, if it does not run and may.
func (c *Cluster) Start(name string) {
	m := c.machines[name]
	if m == nil || m.idle || m.run.Load() != nil {
		return
	}
	p, err := c.open(m)
	if err != nil {
		c.log.complain("start %s: %v", name, err)
		c.t.FailNow()
	}
	p.start()
	m.run.Store(p)
}

// start runs the rooms, inner ones first.
func (p *process) start() {
	for _, r := range []struct {
		name string
		run  func(context.Context) error
	}{{"cluster", p.node.Run}, {"queue", p.queue.Run}, {"delivery", p.delivery.Run}, {"smtp", p.smtp.Run}} {
		ctx, cancel := context.WithCancel(context.Background())
		x := &room{name: r.name, stop: cancel, ended: make(chan struct{})}
		p.rooms = append([]*room{x}, p.rooms...)
		go func() {
			defer close(x.ended)
			x.err = r.run(ctx)
		}()
	}
}

// Stop ends the node in good order: nothing may be lost or doubted by it.
func (c *Cluster) Stop(name string) {
	p := c.process(name)
	if p == nil {
		return
	}
	if p.fatal.Load() != nil || p.removed() {
		c.Crash(name)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	_ = p.smtp.Drain(ctx) // the error says that time was up
	p.door.drain()
	p.rooms[1].end()
	ctx, cancel = context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	_ = p.node.Drain(ctx) // the others elect
	for _, r := range p.rooms {
		r.end()
		if r.err != nil && !errors.Is(r.err, context.Canceled) && !p.removed() && p.fatal.Load() == nil {
			c.log.complain("%s of %s: %v", r.name, name, r.err)
		}
	}
	c.machines[name].run.Store(nil)
	if err := p.node.Close(); err != nil && p.fatal.Load() == nil {
		c.log.complain("close %s: %v", name, err)
	}
	c.net.Crash(name) // pooled connections of a process end with it
}

func (r *room) end() {
	r.stop()
	<-r.ended
}

// removed reports whether the process has ended itself because its node is no
// member any more.
func (p *process) removed() bool {
	inner := p.rooms[len(p.rooms)-1]
	select {
	case <-inner.ended:
		return errors.Is(inner.err, cluster.ErrRemoved)
	default:
		return false
	}
}

// Crash kills the node's process; its machine goes on.
func (c *Cluster) Crash(name string) { c.kill(name, 100) }

// PowerLoss cuts the power of the node's machine. Of what was not synced so
// many percent are on its disk all the same.
func (c *Cluster) PowerLoss(name string, kept int) { c.kill(name, kept) }

// kill ends the node for the rest of the world at once. What goes on running
// of it is cut off from the network and from the disk.
func (c *Cluster) kill(name string, kept int) {
	m, p := c.machines[name], c.process(name)
	if p == nil {
		return
	}
	m.run.Store(nil)
	p.dead.Store(true)
	c.net.Crash(name)
	c.net.Resume(name)
	old := m.disk
	m.disk = old.PowerLoss(kept, c.random)
	old.Resume()
	for _, r := range p.rooms {
		r.stop()
	}
	c.graves.Go(func() {
		for _, r := range p.rooms {
			<-r.ended
		}
		p.door.drain()
		if err := p.node.Close(); err != nil { // nobody reads that disk again
			c.log.note("the dead %s was closed: %v", name, err)
		}
	})
}

// Pause stops the node's process as SIGSTOP does, but for its timers.
func (c *Cluster) Pause(name string) {
	if c.process(name) != nil {
		c.net.Pause(name)
		c.machines[name].disk.Hang()
	}
}

// Hang keeps the disk of the node's machine from writing.
func (c *Cluster) Hang(name string) {
	if c.process(name) != nil {
		c.machines[name].disk.Hang()
	}
}

// Resume ends Pause and Hang.
func (c *Cluster) Resume(name string) {
	c.net.Resume(name)
	if m := c.machines[name]; m != nil {
		m.disk.Resume()
	}
}

// Bury takes away the processes that have ended themselves for want of a disk
// to trust, and says whose they were, and those that are not needed any more.
func (c *Cluster) Bury() (names []string) {
	for _, name := range c.names {
		switch p := c.process(name); {
		case p == nil:
		case p.fatal.Load() != nil:
			c.Crash(name)
			names = append(names, name)
		case p.removed():
			c.log.note("%s has left, and ends", name)
			c.Crash(name)
			c.machines[name].idle = true
		}
	}
	return names
}

// Close ends all.
func (c *Cluster) Close() {
	for _, name := range c.names {
		c.Stop(name)
	}
	c.graves.Wait()
}

// Leader is the name of the node that holds the shard's office, or any that
// runs.
func (c *Cluster) Leader(shard cluster.ShardID) string {
	any := c.names[0]
	for _, name := range c.names {
		p := c.process(name)
		if p == nil {
			continue
		}
		if _, ok := p.node.Term(shard); ok {
			return name
		}
		any = name
	}
	return any
}

// open makes the rooms of a node.
func (c *Cluster) open(m *machine) (*process, error) {
	p := &process{}
	log := slog.New(c.log.on(m.name))
	host := c.net.Host(m.name)
	o := cluster.Options{
		Name: m.name, Listen: m.seeds[m.name], Members: m.seeds, Incarnations: m.incarnations, Joining: m.joined,
		ClusterID: "c1", Dir: "data", FS: m.disk, Network: host, MemoryBytes: 8 << 20,
		SnapshotBytes: 128 << 10, TrailingBytes: 64 << 10, // so that snapshots are taken and sent
		Version: "sim", Log: log,
		Fatal: func(err error) {
			if p.fatal.CompareAndSwap(nil, &err) && !p.dead.Load() {
				log.Error("fatal", "error", err)
			}
		},
	}
	var err error
	if p.node, err = cluster.Open(o); err != nil {
		return nil, err
	}
	p.queue = queue.New(p.node, queue.Options{
		History: 24 * time.Hour, UploadTimeout: 2 * time.Minute, SpoolDir: c.t.TempDir(), Log: log,
	})
	if p.delivery, err = newDelivery(p.queue, host, log); err != nil {
		return nil, err
	}
	p.smtp, err = newReception(p.queue, m.name, host, log)
	return p, err
}

func newDelivery(q *queue.Queue, host *sim.Host, log *slog.Logger) (*delivery.Deliverer, error) {
	table, err := route.New(route.Options{Hostname: "us.example", Resolver: zone{}, Routers: []route.Router{{Name: "internet", MX: true}}})
	if err != nil {
		return nil, err
	}
	rules, err := retry.New([]retry.Rule{{Name: "often", Steps: []retry.Step{{Letter: 'F', Cutoff: 96 * time.Hour, Interval: 5 * time.Second, Factor: 1}}}}, retry.Options{})
	if err != nil {
		return nil, err
	}
	minute := time.Minute
	return delivery.New(delivery.Options{
		Process: q.Process(), Queue: q,
		Rules: delivery.Rules{
			Router: table, Retry: rules,
			DSN: &dsn.Builder{Hostname: "us.example", Postmaster: mail.Address{Local: "postmaster", Domain: "us.example"}},
		},
		Sites: site.Options{
			SMTP: smtpc.Options{Hostname: "us.example", Timeouts: smtpc.Timeouts{
				Greeting: minute, Hello: minute, Mail: minute, Rcpt: minute, Data: minute, Block: minute, Dot: minute,
			}},
			Suspend: time.Second, SuspendMost: 10 * time.Second,
			Dial: func(ctx context.Context, a netip.AddrPort) (net.Conn, error) { return host.Dial(ctx, a.String()) },
		},
		Log: log,
	})
}

// zone is a name service: sinks exchange their own mail.
type zone struct{}

// sinks are the far ends: host name, and the address of its domain.
var sinks = map[string]netip.Addr{
	"sink1": netip.MustParseAddr("192.0.2.1"),
	"sink2": netip.MustParseAddr("192.0.2.2"),
}

// LookupSRV implements route.Resolver.
func (zone) LookupSRV(context.Context, string) ([]dns.SRV, dns.Origin, error) {
	return nil, dns.Origin{}, dns.ErrNoData
}

// LookupMX implements route.Resolver.
func (zone) LookupMX(_ context.Context, domain string) ([]dns.MX, dns.Origin, error) {
	return []dns.MX{{Host: domain, Preference: 10}}, dns.Origin{Name: domain}, nil
}

// LookupHost implements route.Resolver.
func (zone) LookupHost(_ context.Context, name string) ([]netip.Addr, dns.Origin, error) {
	for sink, a := range sinks {
		if name == sink+".example" {
			return []netip.Addr{a}, dns.Origin{Name: name}, nil
		}
	}
	return nil, dns.Origin{}, dns.ErrNotFound
}

func newReception(q *queue.Queue, name string, host *sim.Host, log *slog.Logger) (*smtp.Server, error) {
	env, err := policy.NewEnv(nil, nil)
	if err != nil {
		return nil, err
	}
	return smtp.New(smtp.Options{
		Queue: q, Hostname: name + ".us.example",
		Listeners: []smtp.Listener{{Name: "mx", Address: name + ":25"}},
		Limits:    smtp.Limits{PerClient: 2000},
		Policy:    smtp.Policy{Env: env, Rcpt: []policy.Rule{{Name: "all", Do: policy.Accept}}},
		Listen: func(address string) (net.Listener, error) {
			l, err := host.Listen(address)
			return clients{l}, err
		},
		Log: log,
	})
}

// clients gives those who connect an address of the Internet.
type clients struct{ net.Listener }

// Accept implements net.Listener.
func (c clients) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	return client{conn}, err
}

type client struct{ net.Conn }

// RemoteAddr implements net.Conn.
func (client) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 9), Port: 1025} }
