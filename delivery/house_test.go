package delivery

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"quorumta/cluster"
	"quorumta/delivery/dsn"
	"quorumta/delivery/retry"
	"quorumta/delivery/route"
	"quorumta/delivery/site"
	"quorumta/delivery/smtpc"
	"quorumta/internal/dns"
	"quorumta/internal/mail"
	"quorumta/queue"
	"quorumta/queue/event"
)

// house is a relay of one node without reception, among hosts in memory.
type house struct {
	*queue.Queue
	*world
	t        testing.TB
	delivery *Deliverer
	stop     func()
}

// open starts a house; change may alter its options.
func open(t testing.TB, change func(*Options)) *house {
	t.Helper()
	return openLogged(t, slog.New(slog.NewTextHandler(t.Output(), nil)), change)
}

// openLogged is open with another log.
func openLogged(t testing.TB, log *slog.Logger, change func(*Options)) *house {
	t.Helper()
	node, err := cluster.Open(cluster.Options{Name: "n1", Shards: 1, FS: vfs.NewMem(), MemoryBytes: 16 << 20, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	h := &house{t: t, world: &world{remotes: map[string]*remote{}}}
	h.Queue = queue.New(node, queue.Options{Log: log, SpoolDir: t.TempDir()})
	o := Options{
		Process: h.Process(),
		Queue:   h.Queue,
		Rules: Rules{
			Router: table(t, h.world, route.Router{Name: "internet", MX: true}),
			Retry:  every(t, 15*time.Minute, 96*time.Hour),
			DSN:    &dsn.Builder{Hostname: "us.example"},
		},
		Sites: site.Options{
			SMTP: smtpc.Options{Hostname: "us.example"}, Dial: h.world.dial,
		},
		Log: log,
	}
	if change != nil {
		change(&o)
	}
	if h.delivery, err = New(o); err != nil {
		t.Fatal(err)
	}
	inner, stopInner := context.WithCancel(context.Background())
	outer, stopOuter := context.WithCancel(context.Background())
	done := make(chan error, 3)
	go func() { done <- node.Run(inner) }()
	go func() { done <- h.Queue.Run(inner) }()
	delivered := make(chan error, 1)
	go func() { delivered <- h.delivery.Run(outer) }()
	check := func(err error) {
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	h.stop = sync.OnceFunc(func() {
		stopOuter()
		check(<-delivered)
	})
	t.Cleanup(func() {
		h.stop()
		stopInner()
		check(<-done)
		check(<-done)
		check(node.Close())
	})
	return h
}

// table is a table of routers.
func table(t testing.TB, w *world, routers ...route.Router) *route.Table {
	t.Helper()
	table, err := route.New(route.Options{Hostname: "us.example", Resolver: w, Routers: routers})
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// rules exchanges rules.
func (h *house) rules(change func(*Rules)) {
	r := *h.delivery.rules.Load()
	change(&r)
	h.delivery.SetRules(r)
}

// every tries again after the interval until the cut-off.
func every(t testing.TB, interval, cutoff time.Duration) *retry.Rules {
	t.Helper()
	return ruled(t, retry.Options{}, retry.Step{Letter: 'F', Cutoff: cutoff, Interval: interval, Factor: 1})
}

// ruled are rules of one step.
func ruled(t testing.TB, o retry.Options, step retry.Step) *retry.Rules {
	t.Helper()
	r, err := retry.New([]retry.Rule{{Name: "test", Steps: []retry.Step{step}}}, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func address(s string) mail.Address {
	a, err := mail.ParseAddress(s)
	if err != nil {
		panic(err)
	}
	return a
}

// submit queues a message from sender@us.example, or whom change says.
func (h *house) submit(change func(*queue.Submission), to ...string) mail.MessageID {
	h.t.Helper()
	return h.submitContent("Subject: test\r\n\r\n.dot\r\n", change, to...)
}

// submitContent is submit of another content.
func (h *house) submitContent(content string, change func(*queue.Submission), to ...string) mail.MessageID {
	h.t.Helper()
	s := queue.Submission{Envelope: mail.Envelope{From: address("sender@sender.example")}}
	for _, r := range to {
		s.Envelope.Recipients = append(s.Envelope.Recipients, mail.Recipient{Address: address(r)})
	}
	if change != nil {
		change(&s)
	}
	for late := time.After(20 * time.Second); ; {
		u, err := h.Begin(h.t.Context(), func(id mail.MessageID) []byte { return []byte("Received: id " + string(id) + "\r\n") })
		if err == nil {
			if _, err = u.Write([]byte(content)); err != nil {
				h.t.Fatal(err)
			}
			id, err := u.Commit(s)
			if err != nil {
				h.t.Fatal(err)
			}
			return id
		}
		select {
		case <-late:
			h.t.Fatal(err)
		case <-time.After(10 * time.Millisecond): // until the shard has a leader
		}
	}
}

// waitFor waits until f holds, for up to a day: time is virtual.
func (h *house) waitFor(what string, f func() bool) {
	h.t.Helper()
	late := time.After(24 * time.Hour)
	for wait := time.Millisecond; !f(); wait = min(2*wait, 10*time.Second) {
		select {
		case <-late:
			h.t.Fatalf("%s: not so after a day", what)
		case <-time.After(wait):
		}
	}
}

// waitEmpty waits until no message is open.
func (h *house) waitEmpty() {
	h.t.Helper()
	h.waitFor("the queue is empty", func() bool {
		totals, err := h.Count(h.t.Context())
		return err == nil && totals.Total == 0
	})
}

// story is a message's history in words.
func (h *house) story(id mail.MessageID) string {
	h.t.Helper()
	_, records, err := h.Show(h.t.Context(), id)
	if err != nil {
		h.t.Fatal(err)
	}
	var words []string
	for _, r := range records {
		word := strings.ToLower(strings.TrimPrefix(fmt.Sprintf("%T", r.Event), "*event."))
		switch e := r.Event.(type) {
		case *event.Accepted:
			if e.ID != id {
				word = "report"
			}
		case *event.Claimed:
			word += fmt.Sprint(e.Recipients)
		case *event.Delivered:
			word += fmt.Sprint(e.Recipients)
		case *event.Deferred:
			word += fmt.Sprint(e.Recipients, e.Attempt.Reply.Code)
		case *event.Failed:
			word += fmt.Sprint(e.Recipients, e.Attempt.Reply.Code)
		case *event.Expired:
			word += fmt.Sprint(e.Recipients, e.Attempt.Reply.Code)
		case *event.Doubted:
			word += fmt.Sprint(e.Recipients)
		case *event.Returned:
			word += fmt.Sprint(e.Recipients)
		case *event.Warned:
			word += fmt.Sprint(e.Recipients)
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

// world is the hosts that there are, one for each domain.
type world struct {
	mu      sync.Mutex
	remotes map[string]*remote
	order   []string
}

// remote is a server. Its fields are set before mail is sent to it.
type remote struct {
	mu sync.Mutex
	// refuse: connections are refused; silent: nothing is ever said.
	refuse, silent bool
	// most is how many connections it takes at once; 0 means any number.
	most int
	// ehlo are the extensions; nil means PIPELINING and 8BITMIME.
	ehlo []string
	// reply may answer a command, or the end of the content as ".", with
	// something else than yes; "close" hangs up, "wait" says nothing more.
	reply func(line string) string

	letters               []letter
	connections, together int
	refused               int
	conns                 []net.Conn
}

type letter struct {
	from    string
	to      []string
	content string
}

// remote is the server for a domain.
func (w *world) remote(domain string) *remote {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.remotes[domain]
	if r == nil {
		r = &remote{}
		w.remotes[domain] = r
		w.order = append(w.order, domain)
	}
	return r
}

// LookupMX makes a domain its own exchanger.
func (w *world) LookupMX(_ context.Context, domain string) ([]dns.MX, dns.Origin, error) {
	return []dns.MX{{Host: domain, Preference: 10}}, dns.Origin{Name: domain}, nil
}

// LookupSRV knows none.
func (w *world) LookupSRV(context.Context, string) ([]dns.SRV, dns.Origin, error) {
	return nil, dns.Origin{}, dns.ErrNoData
}

// LookupHost knows a domain that has a remote.
func (w *world) LookupHost(_ context.Context, name string) ([]netip.Addr, dns.Origin, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.Index(w.order, name)
	if i < 0 {
		return nil, dns.Origin{}, dns.ErrNotFound
	}
	return []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)})}, dns.Origin{Name: name}, nil
}

func (w *world) dial(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
	w.mu.Lock()
	r := w.remotes[w.order[addr.Addr().As4()[3]-1]]
	w.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refuse {
		r.refused++
		return nil, errors.New("connection refused")
	}
	client, server := net.Pipe()
	r.connections++
	r.together++
	r.conns = append(r.conns, server)
	switch {
	case r.silent:
		go func() { _, _ = io.Copy(io.Discard, server) }()
	case r.most > 0 && r.together > r.most:
		r.together--
		go func() {
			_, _ = io.WriteString(server, "421 too many connections\r\n")
			_ = server.Close()
		}()
	default:
		go r.serve(server)
	}
	return client, nil
}

func (r *remote) serve(c net.Conn) {
	defer func() {
		_ = c.Close()
		r.mu.Lock()
		r.together--
		r.mu.Unlock()
	}()
	in := bufio.NewReader(c)
	var l letter
	var lmtp bool // there is a reply for each recipient then: to ". ADDRESS"
	say := func(line, yes string) bool {
		if r.reply != nil {
			if other := r.reply(line); other != "" {
				yes = other
			}
		}
		switch yes {
		case "close":
			return false
		case "wait":
			_, _ = io.Copy(io.Discard, in)
			return false
		}
		_, err := io.WriteString(c, yes+"\r\n")
		return err == nil
	}
	if !say("", "220 hi") {
		return
	}
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		verb, _, _ := strings.Cut(line, " ")
		switch verb {
		case "EHLO", "LHLO":
			lmtp = verb == "LHLO"
			r.mu.Lock()
			words := r.ehlo
			r.mu.Unlock()
			if words == nil {
				words = []string{"PIPELINING", "8BITMIME"}
			}
			if !say(line, "250-hi\r\n250-"+strings.Join(words, "\r\n250-")+"\r\n250 HELP") {
				return
			}
		case "MAIL":
			l = letter{from: line}
			if !say(line, "250 2.1.0 ok") {
				return
			}
		case "RCPT":
			yes := "250 2.1.5 ok"
			if r.reply != nil && r.reply(line) != "" {
				yes = r.reply(line)
			} else {
				l.to = append(l.to, strings.TrimSuffix(strings.TrimPrefix(line, "RCPT TO:<"), ">"))
			}
			if yes == "close" || yes == "wait" {
				say("", yes)
				return
			}
			if _, err := io.WriteString(c, yes+"\r\n"); err != nil {
				return
			}
		case "DATA":
			if len(l.to) == 0 {
				say(line, "554 5.5.1 nobody")
				continue
			}
			if !say(line, "354 go") || !r.content(in, &l) {
				return
			}
			words := []string{"."}
			if lmtp {
				words = nil
				for _, to := range l.to {
					words = append(words, ". "+to)
				}
			}
			for _, word := range words {
				if !say(word, "250 2.0.0 taken") {
					return
				}
			}
		case "QUIT":
			say(line, "221 bye")
			return
		default:
			say(line, "250 ok")
		}
	}
}

// content reads until the dot, and keeps the letter whatever is said then.
func (r *remote) content(in *bufio.Reader, l *letter) bool {
	var b strings.Builder
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return false
		}
		if line == ".\r\n" {
			break
		}
		b.WriteString(strings.TrimPrefix(line, "."))
	}
	l.content = b.String()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.letters = append(r.letters, *l)
	return true
}

// got are the letters that came.
func (r *remote) got() []letter {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.letters)
}

// change alters the server while mail flows.
func (r *remote) change(f func(*remote)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(r)
}

// once answers a command that starts with prefix once with reply.
func once(prefix, reply string) func(string) string { return times(1, prefix, reply) }

func times(n int, prefix, reply string) func(string) string {
	var mu sync.Mutex
	return func(line string) string {
		mu.Lock()
		defer mu.Unlock()
		if n == 0 || prefix == "" || !strings.HasPrefix(line, prefix) {
			return ""
		}
		n--
		return reply
	}
}

// always answers a command that starts with prefix with reply.
func always(prefix, reply string) func(string) string { return times(-1, prefix, reply) }
