// Package fairness measures whether mail keeps other mail from going: a dead and
// a slow site beside many healthy ones, and a mailing of many recipients beside
// single messages.
package fairness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"quorumta/bench/load"
	"quorumta/bench/sink"
	"quorumta/bench/subject"
	"quorumta/bench/trial"
)

// Command is bench fairness. Sites are MX records of a zone of its own, at port
// 25 of loopback addresses: it wants root.
type Command struct {
	Binary   string        `help:"The program: go build -o quorumta ./cmd/quorumta." required:"" type:"existingfile"`
	Nodes    int           `help:"Nodes." default:"3"`
	Sites    int           `help:"Healthy sites." default:"1000"`
	Messages int64         `help:"Messages to healthy sites in each round." default:"60000"`
	Beside   int64         `help:"Messages to the dead and to the slow site, each." default:"5000"`
	Slow     time.Duration `help:"What the slow site takes for a message." default:"5s"`
	Mailing  int           `help:"Recipients of the mailing, at one site." default:"100000"`
	Singles  int64         `help:"Single messages to other sites meanwhile, ten a second." default:"200"`
	Sessions int           `help:"Sessions of the load." default:"100"`
	Address  string        `help:"The first of three addresses whose port 25 is used." default:"127.77.0.1"`
}

// Report is what was seen.
type Report struct {
	// Alone and Beside are healthy messages a second, without and with the dead
	// and the slow site.
	Alone, Beside float64
	// Quiet and Busy are the longest delays of single messages, without and
	// beside the mailing, from 250 to the next hop; Mailed counts the mailing's
	// recipients that had been delivered when the last single message was.
	Quiet, Busy time.Duration
	Mailed      int64
}

// The verdict: what may be lost, and how much later a single message may be.
const (
	mayLose  = 0.1
	mayDelay = time.Second
)

// OK reports whether both are kept.
func (r Report) OK() bool { return r.Beside >= r.Alone*(1-mayLose) && r.Busy <= r.Quiet+mayDelay }

// Print writes a table and the verdict.
func (r Report) Print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "HEALTHY SITES\tALONE\tBESIDE A DEAD AND A SLOW ONE\tLOST")
	fmt.Fprintf(t, "messages a second\t%.0f\t%.0f\t%.1f %%\n\n", r.Alone, r.Beside, 100*(1-r.Beside/r.Alone))
	fmt.Fprintln(t, "SINGLE MESSAGES\tALONE\tBESIDE A MAILING\tOF WHICH HAD GONE")
	fmt.Fprintf(t, "longest delay\t%v\t%v\t%d\n", r.Quiet.Round(time.Millisecond), r.Busy.Round(time.Millisecond), r.Mailed)
	fmt.Fprintf(t, "\nless than %.0f %% lost, no message more than %v later: %v\n", 100*mayLose, mayDelay, r.OK())
	return t.Flush()
}

// Run measures, prints, and fails where mail was kept from going.
func (c *Command) Run(ctx context.Context) error {
	r, err := c.measure(ctx)
	if err != nil {
		return err
	}
	if err := r.Print(os.Stdout); err != nil {
		return err
	}
	if !r.OK() {
		return errors.New("some mail kept other mail from going")
	}
	return nil
}

// zone is where the sites stand.
const zone = "fair.example"

func (c *Command) measure(ctx context.Context) (r Report, err error) {
	dir, err := os.MkdirTemp("", "fairness-")
	if err != nil {
		return r, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	slow, err := sink.Listen(sink.Options{Listen: c.address(2), Mode: sink.Mode{Delay: sink.Duration(c.Slow)}})
	if err != nil {
		return r, err
	}
	sinking, stop := context.WithCancel(ctx)
	var sunk sync.WaitGroup
	defer sunk.Wait()
	defer stop()
	sunk.Go(func() { _ = slow.Run(sinking) })
	file := filepath.Join(dir, "zone")
	if err := os.WriteFile(file, c.records(), 0o600); err != nil {
		return r, err
	}
	t, err := trial.Start(ctx, trial.Options{
		Binary: c.Binary, Dir: dir, Nodes: c.Nodes, SinkListen: c.address(0),
		Edit: func(_ string, config []byte) []byte {
			config = fmt.Appendf(config, "\ndns: {servers: [127.0.0.1], zones: {%s: {file: %s}}}\n", zone, file)
			return subject.FirstRouter(config, `{name: sites, if: 'rcpt.domain.endsWith(".`+zone+`")', mx: {}}`)
		},
	})
	if err != nil {
		return r, err
	}
	defer t.Close()
	return r, errors.Join(c.sick(ctx, t, &r), c.mailing(ctx, t, &r))
}

// address is the n-th address, with the port of SMTP.
func (c *Command) address(n int) string {
	i := strings.LastIndexByte(c.Address, '.')
	var last int
	_, _ = fmt.Sscan(c.Address[i+1:], &last)
	return fmt.Sprintf("%s.%d:25", c.Address[:i], last+n)
}

// host is the n-th address alone.
func (c *Command) host(n int) string { return strings.TrimSuffix(c.address(n), ":25") }

// records are the zone: each healthy site has an exchanger of its own name, and
// all have the sink's address. Nobody is at the dead one's.
func (c *Command) records() []byte {
	b := []byte("$ORIGIN " + zone + ".\n$TTL 3600\n@ IN SOA ns hostmaster 1 3600 600 86400 60\n@ IN NS ns\nns IN A " + c.host(0) + "\n")
	add := func(name string, address int) {
		b = fmt.Appendf(b, "%s IN MX 10 mx-%s\nmx-%s IN A %s\n", name, name, name, c.host(address))
	}
	for i := range c.Sites {
		add(fmt.Sprint("s", i), 0)
	}
	add("dead", 1)
	add("slow", 2)
	add("mailing", 0)
	return b
}

// healthy are the domains of the healthy sites.
func (c *Command) healthy() []string {
	var all []string
	for i := range c.Sites {
		all = append(all, fmt.Sprintf("s%d.%s", i, zone))
	}
	return all
}

// sick measures the healthy sites, alone and beside the sick ones.
func (c *Command) sick(ctx context.Context, t *trial.Trial, r *Report) (err error) {
	if _, err = c.rate(ctx, t, c.Messages/10); err != nil { // all names are known then
		return err
	}
	if r.Alone, err = c.rate(ctx, t, c.Messages); err != nil {
		return err
	}
	beside := load.Options{Sessions: c.Sessions, Count: 2 * c.Beside, Size: 2000, Domains: []string{"dead." + zone, "slow." + zone}}
	if _, err = t.Load(ctx, beside); err != nil {
		return err
	}
	r.Beside, err = c.rate(ctx, t, c.Messages)
	return err
}

// rate is how many messages a second get through to healthy sites, from the first
// that is sent to the last that arrives.
func (c *Command) rate(ctx context.Context, t *trial.Trial, count int64) (float64, error) {
	before, began := t.Sink.Stats().Messages, time.Now()
	if _, err := t.Load(ctx, load.Options{Sessions: c.Sessions, Count: count, Size: 2000, Domains: c.healthy()}); err != nil {
		return 0, err
	}
	waiting, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	err := trial.Wait(waiting, "all healthy mail has gone", 20*time.Millisecond, func() (bool, error) {
		return t.Sink.Stats().Messages >= before+count, nil
	})
	return float64(count) / time.Since(began).Seconds(), err
}

// mailing measures single messages, alone and beside the mailing.
func (c *Command) mailing(ctx context.Context, t *trial.Trial, r *Report) (err error) {
	if r.Quiet, err = c.singles(ctx, t); err != nil {
		return err
	}
	const each = 500
	before := t.Sink.Stats().Recipients
	mailing := load.Options{
		Sessions: 4, Count: int64(max(1, c.Mailing/each)), Recipients: min(each, c.Mailing), Size: 5000,
		Domains: []string{"mailing." + zone}, From: "mailing@bench.example",
	}
	if _, err = t.Load(ctx, mailing); err != nil {
		return err
	}
	r.Busy, err = c.singles(ctx, t)
	r.Mailed = t.Sink.Stats().Recipients - before - c.Singles
	return err
}

// singles sends single messages, ten a second, and is their longest delay.
func (c *Command) singles(ctx context.Context, t *trial.Trial) (time.Duration, error) {
	var mu sync.Mutex
	sent := map[string]time.Time{}
	l, err := t.NewLoad(load.Options{
		Sessions: 5, Count: c.Singles, Rate: 10, Size: 2000, Domains: c.healthy(), From: "person@bench.example",
		Record: func(r load.Record) {
			mu.Lock()
			defer mu.Unlock()
			if r.Class == load.Acknowledged {
				sent[r.ID] = r.At
			}
		},
	})
	if err != nil {
		return 0, err
	}
	l.Run(ctx)
	var delays []time.Duration
	waiting, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	err = trial.Wait(waiting, "all single messages have arrived", 250*time.Millisecond, func() (bool, error) {
		delays = delays[:0]
		err := t.Sink.Each(func(s sink.Seen) error {
			if at, ok := sent[s.ID]; ok {
				delays = append(delays, s.First.Sub(at))
			}
			return nil
		})
		return len(delays) >= len(sent), err
	})
	if len(delays) == 0 {
		return 0, errors.Join(err, errors.New("no single message arrived"))
	}
	return max(0, slices.Max(delays)), err
}
