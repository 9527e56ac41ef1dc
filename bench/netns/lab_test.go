package netns

import (
	"bufio"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// lab is a laboratory of two hosts with an echo server on the second.
type lab struct {
	*Lab
	address string
}

func newLab(t *testing.T) lab {
	t.Helper()
	if err := Available(); err != nil {
		if os.Getenv("CI") == "true" && os.Geteuid() == 0 {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	l, err := New(t.Context(), []string{"a", "b"})
	if errors.Is(err, os.ErrPermission) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if _, err := net.InterfaceByName(l.bridge); err == nil {
			t.Error("the bridge is still there")
		}
	})
	var listener net.Listener
	err = l.Hosts[1].Do(func() (err error) {
		listener, err = net.Listen("tcp", netip.AddrPortFrom(l.Hosts[1].Address, 0).String())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { echo(c) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		serving.Wait()
	})
	return lab{l, listener.Addr().String()}
}

func echo(c net.Conn) {
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	r := bufio.NewReader(c)
	for {
		line, err := r.ReadBytes('\n')
		if err != nil {
			return
		}
		c.Write(line)
	}
}

// dial connects from the first host, at the socket's own pace: the net package
// would do it on a thread of another host.
func (l lab) dial(t *testing.T, within time.Duration) (net.Conn, error) {
	t.Helper()
	to := netip.MustParseAddrPort(l.address)
	var c net.Conn
	err := l.Hosts[0].Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		f := os.NewFile(uintptr(fd), "socket")
		defer f.Close()
		err = errors.Join(
			unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{Sec: int64(within / time.Second), Usec: int64(within % time.Second / time.Microsecond)}),
			unix.Connect(fd, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}),
		)
		if err != nil {
			return err
		}
		c, err = net.FileConn(f)
		return err
	})
	if err == nil {
		t.Cleanup(func() { c.Close() })
	}
	return c, err
}

func TestAWayIsCutInOneDirection(t *testing.T) {
	l := newLab(t)
	if _, err := l.dial(t, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	if err := l.Cut(t.Context(), To(l.Hosts[0], l.Hosts[1])...); err != nil {
		t.Fatal(err)
	}
	if _, err := l.dial(t, 100*time.Millisecond); err == nil {
		t.Error("connected though the first host is deaf")
	}
	direct, err := net.DialTimeout("tcp", l.address, 10*time.Second)
	if err != nil {
		t.Errorf("the second host does not hear the gateway: %v", err)
	} else {
		direct.Close()
	}
	if err := l.Heal(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := l.dial(t, 5*time.Second); err != nil {
		t.Errorf("after healing: %v", err)
	}
}

func TestShapeDelaysUntilItIsStopped(t *testing.T) {
	l := newLab(t)
	c, err := l.dial(t, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	trip := func() time.Duration {
		t.Helper()
		from := time.Now()
		c.SetDeadline(from.Add(10 * time.Second))
		if _, err := c.Write([]byte("x\n")); err != nil {
			t.Fatal(err)
		}
		if _, err := bufio.NewReader(c).ReadByte(); err != nil {
			t.Fatal(err)
		}
		return time.Since(from)
	}
	stop, err := l.Shape(t.Context(), Shape{Delay: 50 * time.Millisecond, Jitter: 5 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if took := trip(); took < 100*time.Millisecond {
		t.Errorf("a round trip took %v, want 100 ms at least", took)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	quickest := time.Hour
	for range 10 {
		quickest = min(quickest, trip())
	}
	if quickest >= 50*time.Millisecond {
		t.Errorf("after stopping the quickest round trip took %v", quickest)
	}
}

func TestShapeLoses(t *testing.T) {
	l := newLab(t)
	stop, err := l.Shape(t.Context(), Shape{Loss: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.dial(t, 100*time.Millisecond); err == nil {
		t.Error("connected though every packet is lost")
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.dial(t, 5*time.Second); err != nil {
		t.Errorf("after stopping: %v", err)
	}
}

func TestSweepLeavesTheLiving(t *testing.T) {
	l := newLab(t)
	if err := Sweep(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.dial(t, 10*time.Second); err != nil {
		t.Errorf("after a sweep: %v", err)
	}
	for name, want := range map[string]bool{"qf4194399": true, "qf4194399-n1": true, "qf1": false, "docker0": false, "qfx": false, "qf": false} {
		if got := abandoned(name); got != want {
			t.Errorf("%s abandoned: %v, want %v", name, got, want)
		}
	}
}
