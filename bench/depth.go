package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"quorumta/bench/depth"
	"quorumta/bench/measure"
	"quorumta/bench/peers"
	"quorumta/bench/plot"
	"quorumta/bench/subject"
	"quorumta/bench/work"
)

// depthCmd is bench depth.
type depthCmd struct {
	Binary   string        `help:"The program: go build -o quorumta ./cmd/quorumta." required:"" type:"existingfile"`
	Nodes    int           `help:"Nodes of the cluster." default:"3"`
	Config   []string      `help:"\"SECTION.KEY: VALUE\", or a line for each configuration's end; may be given again." sep:"none"`
	Levels   []int64       `help:"Messages queued, ascending." default:"1000,10000,100000,1000000"`
	Sent     int64         `help:"Up to so many messages are sent by SMTP; larger queues are restored from a backup that is made for them." default:"5000"`
	Deferred bool          `help:"What is restored has been tried and waits for hours; otherwise it is due, to a dead site, like what is sent."`
	Size     int           `help:"Bytes of a queued message." default:"1000"`
	Bulk     int           `help:"Sessions that fill the queue." default:"200"`
	NewSize  int           `help:"Bytes of a new message." default:"10000"`
	Sessions int           `help:"Sessions of new mail." default:"50"`
	For      time.Duration `help:"How long new mail is sent at each level." default:"20s"`
	Dir      string        `help:"Data goes below this." type:"path"`
	Out      string        `help:"JSON and plots go here, NAME.json and NAME-….svg." type:"path"`
}

// depthReport is what it leaves behind.
type depthReport struct {
	Command string       `json:"command"`
	Started time.Time    `json:"started"`
	Machine measure.Host `json:"machine"`
	depth.Report
}

// Run fills and measures.
func (c *depthCmd) Run(ctx context.Context) error {
	dir, remove, err := workDir(c.Dir)
	if err != nil {
		return err
	}
	defer remove()
	report := depthReport{Command: strings.Join(os.Args[1:], " "), Started: time.Now().UTC(), Machine: measure.ThisHost()}
	report.Report, err = depth.Measure(ctx, depth.Options{
		Cluster: clusterFlags{Binary: c.Binary, Config: c.Config}.options(c.Nodes), Dir: dir,
		Levels: c.Levels, Sent: c.Sent, Deferred: c.Deferred, Size: c.Size, Sessions: c.Bulk,
		Cell: work.Cell{Size: c.NewSize, Sessions: c.Sessions, PerConnection: 100},
		Work: work.Options{For: c.For, Warm: 2 * time.Second},
		Say:  func(line string) { fmt.Fprintln(os.Stderr, line) },
	})
	if len(report.Levels) == 0 {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "queued\tway\tfilled/s\taccept/s\tof empty\trelay/s\tof empty\tdot p50 ms\tp99\tcount s\tlist s\tmemory MB\tdisk MB\t")
	empty := report.Levels[0].Result
	accept, relay := plot.Series{Name: "accepted/s", Dots: true}, plot.Series{Name: "relayed/s", Dots: true}
	for _, l := range report.Levels {
		r := l.Result
		fmt.Fprintf(w, "%d\t%s\t%.0f\t%.0f\t%.0f %%\t%.0f\t%.0f %%\t%.1f\t%.1f\t%.2f\t%.2f\t%d\t%d\t\n", l.Queued, l.Way, l.Filled,
			r.AcceptRate, 100*r.AcceptRate/empty.AcceptRate, r.RelayRate, 100*r.RelayRate/empty.RelayRate,
			r.Latency.P50, r.Latency.P99, l.Count, l.List, l.Memory/megabyte, l.Disk/megabyte)
		if l.Queued > 0 {
			accept.Points = append(accept.Points, plot.Point{X: float64(l.Queued), Y: r.AcceptRate})
			relay.Points = append(relay.Points, plot.Point{X: float64(l.Queued), Y: r.RelayRate})
		}
	}
	return errors.Join(err, w.Flush(), writeOut(c.Out, report), draw(c.Out, "rate", plot.Lines{
		Title: "New mail beside queued mail", XLabel: "messages queued", YLabel: "messages/s", LogX: true,
		Series: []plot.Series{accept, relay},
	}))
}

// recoveryCmd is bench recovery.
type recoveryCmd struct {
	clusterFlags
	Peer     []string      `help:"A server to be compared with; may be given again." enum:"postfix,exim,exim-queue,opensmtpd,haraka,chasquid"`
	Rooms    string        `help:"Where peers are installed; see bench peers." type:"path"`
	Queued   int64         `help:"Messages in the queue." default:"20000"`
	Size     int           `help:"Bytes of each." default:"10000"`
	Sessions int           `help:"Sessions that fill the queue." default:"50"`
	Rounds   int           `help:"How often." default:"3"`
	Drain    time.Duration `help:"How long all may take to arrive." default:"5m"`
	Dir      string        `help:"Data goes below this." type:"path"`
	Out      string        `help:"JSON goes to NAME.json." type:"path"`
}

// recoveryReport is what it leaves behind.
type recoveryReport struct {
	Command    string           `json:"command"`
	Started    time.Time        `json:"started"`
	Machine    measure.Host     `json:"machine"`
	Recoveries []depth.Recovery `json:"recoveries"`
}

// Run kills and restarts each subject with a full queue.
func (c *recoveryCmd) Run(ctx context.Context) error {
	dir, remove, err := workDir(c.Dir)
	if err != nil {
		return err
	}
	defer remove()
	kinds, err := c.kinds(ctx)
	if err != nil {
		return err
	}
	report := recoveryReport{Command: strings.Join(os.Args[1:], " "), Started: time.Now().UTC(), Machine: measure.ThisHost()}
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "subject\tround\tqueued\taccepts again s\tready s\tfirst delivery s\tall s\tdelivered\tsecond copies\t")
	for round := range c.Rounds {
		for _, k := range kinds {
			r, err := depth.Recover(ctx, k, depth.RecoveryOptions{Dir: dir, Queued: c.Queued, Size: c.Size, Sessions: c.Sessions, Drain: c.Drain})
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				fmt.Fprintf(os.Stderr, "%s is left out: %v\n", k.Name, err)
				continue
			}
			r.Round = round + 1
			fmt.Fprintf(w, "%s\t%d\t%d\t%.2f\t%.2f\t%.2f\t%.2f\t%d\t%d\t\n", r.Subject, r.Round, r.Queued, r.Accepted, r.Ready, r.First, r.All, r.Delivered, r.Copies)
			report.Recoveries = append(report.Recoveries, r)
		}
	}
	return errors.Join(w.Flush(), writeOut(c.Out, report))
}

// kinds are clusters that try again soon, and peers.
func (c *recoveryCmd) kinds(ctx context.Context) ([]subject.Kind, error) {
	var out []subject.Kind
	for _, n := range c.Nodes {
		o := c.options(n)
		edit := o.Edit
		o.Edit = func(node string, config []byte) []byte {
			if edit != nil {
				config = edit(node, config)
			}
			return []byte(strings.Replace(string(config), "F 2h 15m", "F 2h 2s", 1))
		}
		out = append(out, subject.Quorumta(fmt.Sprintf("quorumta-%d", n), o))
	}
	rooms, err := roomsDir(c.Rooms)
	if err != nil {
		return nil, err
	}
	for _, name := range c.Peer {
		k, err := peers.Install(ctx, rooms, name)
		if err != nil {
			return nil, err
		}
		out = append(out, k)
	}
	return out, nil
}
