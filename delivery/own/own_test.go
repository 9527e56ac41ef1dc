package own

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func tcp(s string) net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(s)) }

func TestWhose(t *testing.T) {
	down := false
	far := New(Options{
		Name:       "n2",
		Listeners:  func() []net.Addr { return []net.Addr{tcp("0.0.0.0:25"), tcp("127.0.0.1:2525")} },
		Interfaces: func() ([]netip.Addr, error) { return []netip.Addr{netip.MustParseAddr("10.0.0.2")}, nil },
	})
	p := New(Options{
		Name:       "n1",
		Listeners:  func() []net.Addr { return []net.Addr{tcp("[::]:25"), tcp("10.0.0.1:587")} },
		Interfaces: func() ([]netip.Addr, error) { return []netip.Addr{netip.MustParseAddr("10.0.0.1")}, nil },
		Members: func() map[string]string {
			return map[string]string{"n1": "10.0.0.1:7900", "n2": "10.0.0.2:7900"}
		},
		Ask: func(context.Context, string) ([]netip.AddrPort, error) {
			if down {
				return nil, errors.New("down")
			}
			return far.Here()
		},
	})
	if _, ok := p.Whose(netip.MustParseAddrPort("10.0.0.1:25")); ok {
		t.Error("known before anything was looked up")
	}
	for _, down = range []bool{false, true} { // what a member said stays true while it is down
		if !p.look(t.Context()) {
			t.Error("somebody never answered")
		}
		for at, want := range map[string]string{
			"10.0.0.1:25": "n1", "127.0.0.1:25": "n1", "127.0.0.2:25": "n1", "[::1]:25": "n1", "[::ffff:10.0.0.1]:25": "n1",
			"10.0.0.1:587": "n1", "127.0.0.1:587": "", "10.0.0.1:26": "",
			"10.0.0.2:25": "n2", "127.0.0.1:2525": "", "10.0.0.3:25": "",
		} {
			if got, ok := p.Whose(netip.MustParseAddrPort(at)); got != want || ok != (want != "") {
				t.Errorf("%s is a listener of %q, want %q", at, got, want)
			}
		}
	}
}

// TestOneMachine: members that meet on the loopback share it.
func TestOneMachine(t *testing.T) {
	p := New(Options{
		Name:      "n1",
		Listeners: func() []net.Addr { return nil },
		Members:   func() map[string]string { return map[string]string{"n1": "127.0.0.1:7901", "n2": "127.0.0.1:7902"} },
		Ask: func(context.Context, string) ([]netip.AddrPort, error) {
			return []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:8002")}, nil
		},
	})
	p.look(t.Context())
	if got, _ := p.Whose(netip.MustParseAddrPort("127.0.0.1:8002")); got != "n2" {
		t.Errorf("got %q", got)
	}
}

// TestRun: who does not answer is asked again soon at first, then as all are.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		p := New(Options{
			Name:      "n1",
			Listeners: func() []net.Addr { return nil },
			Members:   func() map[string]string { return map[string]string{"n1": "", "n2": ""} },
			Ask: func(context.Context, string) ([]netip.AddrPort, error) {
				if asked.Add(1) < 3 {
					return nil, errors.New("not yet")
				}
				return []netip.AddrPort{netip.MustParseAddrPort("10.0.0.2:25")}, nil
			},
		})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			p.Run(ctx)
		}()
		time.Sleep(4 * time.Second) // virtual: after one and two more
		if _, ok := p.Whose(netip.MustParseAddrPort("10.0.0.2:25")); !ok || asked.Load() != 3 {
			t.Errorf("known: %v, asked %d times", ok, asked.Load())
		}
		time.Sleep(time.Minute)
		if asked.Load() != 5 {
			t.Errorf("asked %d times after a minute more", asked.Load())
		}
		cancel()
		<-ended
	})
}
