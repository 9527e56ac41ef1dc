package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"quorumta/bench/floor"
	"quorumta/bench/load"
	"quorumta/bench/measure"
	"quorumta/bench/peers"
	"quorumta/bench/sink"
	"quorumta/bench/subject"
	"quorumta/bench/work"
)

// peersCmd is bench peers.
type peersCmd struct {
	clusterFlags
	gridFlags
	Peer    []string `help:"A server; may be given again. None: all." enum:"postfix,exim,exim-queue,opensmtpd,haraka,chasquid"`
	Rooms   string   `help:"Where peers are installed, and stay so; not below /usr, /etc, /var or /run." type:"path"`
	Share   float64  `help:"Offer all this share of what --of accepts at most, 0.7 say; 0: as fast as they go." default:"0"`
	Of      string   `help:"Whose maximum that is." default:"postfix"`
	NoTrace bool     `help:"Do not look with strace at what is synced before 250."`
	Held    bool     `help:"The next hop refuses: only acceptance is measured."`
}

// Run installs, proves, measures in turn, and compares with Postfix.
func (c *peersCmd) Run(ctx context.Context) error {
	if os.Geteuid() != 0 {
		return errors.New("peers are installed in rooms of their own, which wants root")
	}
	rooms, err := roomsDir(c.Rooms)
	if err != nil {
		return err
	}
	p := c.plan()
	p.Held, p.Share, p.Of = c.Held, c.Share, c.Of
	p.Kinds = append(c.kinds(), floor.Kind(c.Held))
	if len(c.Peer) == 0 {
		c.Peer = peers.Names()
	}
	for _, name := range c.Peer {
		fmt.Fprintf(os.Stderr, "setting %s up\n", name)
		k, err := peers.Install(ctx, rooms, name)
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s is left out: %v\n", name, err)
			continue
		}
		p.Kinds = append(p.Kinds, k)
	}
	if err := c.prove(ctx, p.Kinds); err != nil {
		return err
	}
	return c.compare(ctx, p, "postfix", "floor")
}

// roomsDir is where peers are installed: dir, or with "" the user's cache.
func roomsDir(dir string) (string, error) {
	if dir != "" {
		return dir, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("where are peers installed? say --rooms DIR: %w", err)
	}
	return filepath.Join(cache, "quorumta-bench"), nil
}

// prove sends each subject one message, prints what it syncs, and notes it.
func (c *peersCmd) prove(ctx context.Context, kinds []subject.Kind) error {
	if c.NoTrace {
		return nil
	}
	dir, remove, err := workDir(c.Dir)
	if err != nil {
		return err
	}
	defer remove()
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "subject\tsyncs before 250\tsyncs until delivered")
	for i := range kinds {
		k := &kinds[i]
		s, err := syncsOf(ctx, *k, dir)
		if err != nil {
			fmt.Fprintf(w, "%s\tunknown: %v\n", k.Name, err)
			continue
		}
		k.Durable = fmt.Sprintf("%d syncs before 250, %d in all", s.Before, s.All)
		fmt.Fprintf(w, "%s\t%d\t%d\n", k.Name, s.Before, s.All)
	}
	fmt.Fprintln(w)
	return errors.Join(w.Flush(), ctx.Err())
}

// syncsOf traces one message through a subject, after another that warmed it
// up.
func syncsOf(ctx context.Context, k subject.Kind, dir string) (s measure.Syncs, err error) {
	hop, err := work.NewHop(sink.Mode{})
	if err != nil {
		return s, err
	}
	defer hop.Close()
	sub, remove, err := k.Make(dir, hop.Address())
	if err != nil {
		return s, err
	}
	defer remove()
	defer func() { err = errors.Join(err, sub.Stop()) }()
	if err := sub.Start(ctx); err != nil {
		return s, err
	}
	one := func() error {
		before := hop.Stats().Recipients
		l, err := load.New(load.Options{Targets: sub.Addresses(), Sessions: 1, Count: 1, ConnectTimeout: 10 * time.Second})
		if err != nil {
			return err
		}
		if r := l.Run(ctx); r.Acknowledged != 1 {
			return fmt.Errorf("one message was not accepted: %v", r.Refusals)
		}
		if _, got := hop.Wait(ctx, before, 1, 20*time.Second, 20*time.Second); got != 1 {
			return errors.New("one message was not delivered")
		}
		settled := time.NewTimer(500 * time.Millisecond) // it notes that it has delivered
		defer settled.Stop()
		select {
		case <-settled.C:
		case <-ctx.Done():
		}
		return nil
	}
	if err := one(); err != nil {
		return s, err
	}
	return measure.TraceSyncs(ctx, sub.Groups(), one)
}
