package sim

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// connect makes a connection from host a to host b.
func connect(t *testing.T, n *Network) (near, far net.Conn) {
	t.Helper()
	l, err := n.Host("b").Listen("b:1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	near, err = n.Host("a").Dial(t.Context(), "b:1")
	if err != nil {
		t.Fatal(err)
	}
	far, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return near, far
}

func TestCutLinkDeliversWhenHealed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork()
		near, far := connect(t, n)
		n.Cut("a", "b")
		if _, err := near.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		_ = far.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := far.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("a cut link let something through: %v", err)
		}
		n.Heal()
		_ = far.SetReadDeadline(time.Time{})
		got := make([]byte, 1)
		if _, err := io.ReadFull(far, got); err != nil || got[0] != 'x' {
			t.Fatalf("after healing: %q, %v", got, err)
		}
	})
}

func TestWhatIsLateArrivesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork()
		near, far := connect(t, n)
		n.Delay("b", func(Sent) time.Duration { return time.Second })
		began := time.Now()
		_, _ = near.Write([]byte("1"))
		time.Sleep(300 * time.Millisecond) // of virtual time
		n.Heal()
		_, _ = near.Write([]byte("2"))
		_ = near.Close()
		got, err := io.ReadAll(far)
		if err != nil || string(got) != "12" || time.Since(began) != time.Second {
			t.Errorf("%q, %v after %s", got, err, time.Since(began))
		}
	})
}

func TestEachWriteIsAsLateAsIsSaidOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork()
		near, far := connect(t, n)
		_, _ = near.Write([]byte("hello"))
		for _, host := range []string{"a", "b"} {
			n.Delay(host, func(s Sent) time.Duration {
				if s.To != host || s.From == host || s.Back != (host == "a") || string(s.Opening) != "hello" {
					t.Errorf("sent to %s: %+v", host, s)
				}
				if string(s.Data) == "late" {
					return time.Second
				}
				return 0
			})
		}
		began := time.Now()
		for _, step := range []struct {
			from, to net.Conn
			text     string
			after    time.Duration
		}{{near, far, "hello", 0}, {near, far, "soon", 0}, {far, near, "late", time.Second}} {
			if step.text != "hello" {
				_, _ = step.from.Write([]byte(step.text))
			}
			got := make([]byte, len(step.text))
			if _, err := io.ReadFull(step.to, got); err != nil || string(got) != step.text || time.Since(began) != step.after {
				t.Errorf("%q, %v after %s, want %q after %s", got, err, time.Since(began), step.text, step.after)
			}
		}
	})
}

func TestTheMuteAreHeardWhereTheyWereCalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork()
		near, far := connect(t, n)
		n.Mute("a")
		_, _ = near.Write([]byte("x"))
		_ = far.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := far.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("what the mute host sent has come: %v", err)
		}
		n.Heal()
		n.Mute("b")
		_, _ = far.Write([]byte("y"))
		if _, err := near.Read(make([]byte, 1)); err != nil {
			t.Errorf("an answer did not come: %v", err)
		}
	})
}

func TestDialOverCutLinkTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork()
		l, _ := n.Host("b").Listen("b:1")
		defer func() { _ = l.Close() }()
		n.Cut("a", "b")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := n.Host("a").Dial(ctx, "b:1"); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("dialled over a cut link: %v", err)
		}
	})
}

func TestCrashResetsAndRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork()
		near, _ := connect(t, n)
		n.Crash("b")
		if _, err := near.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Fatalf("read after the other side died: %v", err)
		}
		if _, err := n.Host("a").Dial(t.Context(), "b:1"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("dialled the dead: %v", err)
		}
	})
}

func TestPausedHostNeitherReadsNorWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork()
		near, far := connect(t, n)
		n.Pause("b")
		if _, err := near.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := far.Write([]byte("y")); err != nil {
			t.Fatal(err)
		}
		_ = far.SetDeadline(time.Now().Add(time.Second))
		if _, err := far.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("a paused host read: %v", err)
		}
		_ = near.SetDeadline(time.Now().Add(time.Second))
		if _, err := near.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("a paused host's writing arrived: %v", err)
		}
		n.Resume("b")
		_ = far.SetDeadline(time.Time{})
		_ = near.SetDeadline(time.Time{})
		for _, c := range []net.Conn{near, far} {
			if _, err := c.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestWhatRunsOnOfACrashedHostIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork()
		l, _ := n.Host("b").Listen("b:1")
		defer func() { _ = l.Close() }()
		old := n.Host("a")
		n.Crash("a")
		if _, err := old.Dial(t.Context(), "b:1"); !errors.Is(err, syscall.ENETDOWN) {
			t.Fatalf("the dead dialled: %v", err)
		}
		if _, err := n.Host("a").Dial(t.Context(), "b:1"); err != nil {
			t.Fatalf("the next run did not: %v", err)
		}
	})
}
