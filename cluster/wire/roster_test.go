package wire

import (
	"context"
	"errors"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"quorumta/internal/sim"
)

// A member that is taken out of the list loses its connections, in both
// directions, and is not let in again until it is back.
func TestMembersComeAndGo(t *testing.T) {
	pairs(t, func(t *testing.T, n *sim.Network, a, b *Port) {
		all := map[string]string{"a": "a:1", "b": "b:1"}
		near, far := a.Open(7, func(string) {}), b.Open(7, func(string) {})
		defer near.Close()
		defer far.Close()
		conn, err := near.Dial("b/i", time.Second)
		if err != nil {
			t.Fatal(err)
		}
		taken, err := far.Accept()
		if err != nil {
			t.Fatal(err)
		}
		call := func() error {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			_, err := a.Call(ctx, "b", "echo", []byte("x"))
			return err
		}
		if err := call(); err != nil {
			t.Fatal(err)
		}
		b.SetMembers(map[string]string{"b": "b:1"})
		if _, err := taken.Read(make([]byte, 1)); err == nil {
			t.Error("the connection of a removed member stays")
		}
		if _, err := conn.Read(make([]byte, 1)); err == nil {
			t.Error("the removed member does not notice")
		}
		if err := call(); !errors.Is(err, ErrUnreachable) {
			t.Errorf("a call of a removed member: %v", err)
		}
		if _, err := near.Dial("b/i", time.Second); err == nil {
			t.Error("Raft of a removed member is let in")
		}
		if _, err := b.Call(t.Context(), "a", "echo", []byte("x")); !errors.Is(err, ErrUnreachable) {
			t.Errorf("a call to a removed member: %v", err)
		}
		if _, err := far.Dial("a/i", time.Second); err == nil {
			t.Error("a removed member is dialed")
		}
		b.SetMembers(all)
		if err := call(); err != nil {
			t.Errorf("back again: %v", err)
		}
		if _, err := near.Dial("b/i", time.Second); err != nil {
			t.Errorf("back again: %v", err)
		}
	})
}

// A member that moves is dialed where it is now.
func TestMembersMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := sim.NewNetwork()
		a, b := open(t, n, "a", "c", nil), open(t, n, "b", "c", nil)
		if got, err := a.Call(t.Context(), "b", "echo", []byte("x")); err != nil || string(got) != "a:x" {
			t.Fatalf("%q, %v", got, err)
		}
		moved := map[string]string{"a": "a:1", "b": "b2:1"}
		a.SetMembers(moved)
		if _, err := a.Call(t.Context(), "b", "echo", []byte("x")); !errors.Is(err, ErrUnreachable) {
			t.Errorf("the old address is called: %v", err)
		}
		maps.Copy(moved, map[string]string{"b": "b:1"})
		a.SetMembers(moved)
		if _, err := a.Call(t.Context(), "b", "echo", []byte("x")); err != nil {
			t.Error(err)
		}
		synctest.Wait() // until b has seen the old one end
		if len(b.roster.open) != 1 {
			t.Errorf("%d connections are kept of those that ended", len(b.roster.open))
		}
	})
}

// A handler learns which incarnation calls, and who is not a member is told so.
func TestCallersSayWhoTheyAre(t *testing.T) {
	pairs(t, func(t *testing.T, n *sim.Network, a, b *Port) {
		for _, p := range []*Port{a, b} {
			p.Handle("who", func(ctx context.Context, _ string, _ []byte) ([]byte, error) {
				return []byte(CallerID(ctx)), nil
			})
		}
		for _, to := range []string{"a", "b"} {
			if got, err := a.Call(t.Context(), to, "who", nil); err != nil || string(got) != "a/i" {
				t.Errorf("%q, %v", got, err)
			}
		}
		b.SetMembers(map[string]string{"b": "b:1"})
		if _, err := a.Call(t.Context(), "b", "who", nil); !errors.Is(err, ErrUnreachable) {
			t.Errorf("no member: %v", err)
		}
		b.SetMembers(map[string]string{"a": "a:1", "b": "b:1"})
		a.o.Cluster = "other"
		if _, err := a.Call(t.Context(), "b", "who", nil); !errors.Is(err, ErrForeign) {
			t.Errorf("another cluster: %v", err)
		}
	})
}
