package lead_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"quorumta/cluster/lead"
	"quorumta/cluster/peers"
)

// scene is a mover on n1, and what the others say.
type scene struct {
	ctx     context.Context // ends with the scene
	reports map[string]*peers.Report
	groups  map[uint16]*lead.Group
	prefer  map[uint16]string
	leaving string
	moved   []string
	noticed []string
	mover   *lead.Mover
}

// play has n2 and n3 answer for a while, and then runs f. n1 leads the shards.
func play(t *testing.T, shards []uint16, f func(s *scene)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &scene{reports: map[string]*peers.Report{}, groups: map[uint16]*lead.Group{}, prefer: map[uint16]string{}}
		for _, name := range []string{"n2", "n3"} {
			s.reports[name] = &peers.Report{Boot: 1, Incarnation: "i", Shards: map[uint16]peers.Replica{}}
		}
		for _, shard := range shards {
			s.groups[shard] = &lead.Group{Shard: shard, Leads: true, Voters: []string{"n1/i", "n2/i", "n3/i"}}
		}
		others := peers.New(func(_ context.Context, name string) (peers.Report, error) {
			if r := s.reports[name]; r != nil {
				return *r, nil
			}
			return peers.Report{}, errors.New("it does not answer")
		}, func(context.Context, string, peers.Report) {})
		others.Set([]string{"n2", "n3"})
		s.mover = lead.New(lead.Options{
			Self: "n1", Peers: others, Log: slog.New(slog.DiscardHandler),
			Groups: func() (all []lead.Group) {
				for _, shard := range shards {
					all = append(all, *s.groups[shard])
				}
				return all
			},
			Group:     func(shard uint16) (lead.Group, error) { return *s.groups[shard], nil },
			Preferred: func(shard uint16) string { return s.prefer[shard] },
			Leaving:   func(name string) bool { return name == s.leaving },
			Transfer: func(_ context.Context, shard uint16, id string) error {
				s.groups[shard].Leads = false
				s.moved = append(s.moved, fmt.Sprint(shard, " ", id))
				return nil
			},
			Ask: func(_ context.Context, node, method string, request, _ any) error {
				s.noticed = append(s.noticed, fmt.Sprint(request, " ", node))
				return nil
			},
		})
		ctx, cancel := context.WithCancel(t.Context())
		s.ctx = ctx
		go others.Run(ctx)
		time.Sleep(3 * time.Second)
		f(s)
		cancel()
		synctest.Wait()
	})
}

// A node that drains spreads its leads, although the others cannot have said yet
// what they were given, and one that is to leave the cluster gets none.
func TestDrainSpreadsTheLeads(t *testing.T) {
	play(t, []uint16{1, 2, 3, 4}, func(s *scene) {
		if err := s.mover.Drain(s.ctx); err != nil {
			t.Error(err)
		}
		if want := []string{"1 n2/i", "2 n3/i", "3 n2/i", "4 n3/i"}; !slices.Equal(s.moved, want) {
			t.Errorf("moved %v, want %v", s.moved, want)
		}
		if len(s.noticed) > 0 {
			t.Errorf("leads were announced that may be placed at once: %v", s.noticed)
		}
	})
	play(t, []uint16{1, 2}, func(s *scene) {
		s.leaving = "n2"
		if err := s.mover.Drain(s.ctx); err != nil {
			t.Error(err)
		}
		if want := []string{"1 n3/i", "2 n3/i"}; !slices.Equal(s.moved, want) {
			t.Errorf("with n2 leaving moved %v, want %v", s.moved, want)
		}
	})
	play(t, []uint16{1, 2}, func(s *scene) {
		s.prefer[1], s.prefer[2] = "n3", "n3"
		if err := s.mover.Drain(s.ctx); err != nil {
			t.Error(err)
		}
		if want := []string{"1 n3/i", "2 n3/i"}; !slices.Equal(s.moved, want) {
			t.Errorf("where they belong: moved %v, want %v", s.moved, want)
		}
	})
	play(t, []uint16{1}, func(s *scene) {
		s.leaving = "n2"
		s.reports["n3"] = nil
		time.Sleep(3 * time.Second)
		if err := s.mover.Drain(s.ctx); err != nil || !slices.Equal(s.moved, []string{"1 n2/i"}) {
			t.Errorf("nobody else: moved %v, %v", s.moved, err)
		}
	})
}

// A lead that was put here stays for a minute; one that came by a takeover or a
// drain, which announce nothing, goes where it belongs as soon as that is fit.
func TestALeadStaysWhereItWasPut(t *testing.T) {
	play(t, []uint16{1, 2}, func(s *scene) {
		s.prefer[1], s.prefer[2] = "n2", "n3"
		if _, err := s.mover.Notice(s.ctx, 1); err != nil {
			t.Fatal(err)
		}
		go s.mover.Run(s.ctx)
		time.Sleep(30 * time.Second)
		if want := []string{"2 n3/i"}; !slices.Equal(s.moved, want) {
			t.Errorf("at first moved %v, want %v", s.moved, want)
		}
		s.groups[2].Leads = true // it comes back by a takeover: it was put away lately
		time.Sleep(20 * time.Second)
		if len(s.moved) > 1 {
			t.Errorf("within a minute moved %v", s.moved)
		}
		time.Sleep(30 * time.Second)
		if want := []string{"2 n3/i", "1 n2/i", "2 n3/i"}; !slices.Equal(s.moved, want) {
			t.Errorf("after a minute moved %v, want %v", s.moved, want)
		}
		if !slices.Equal(s.noticed, []string{"2 n3", "1 n2", "2 n3"}) {
			t.Errorf("announced %v", s.noticed)
		}
	})
}
