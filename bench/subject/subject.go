package subject

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"quorumta/bench/measure"
)

// Subject is one relay. One goroutine uses it.
type Subject interface {
	// Start starts it in its folder, with what an earlier run left there, and
	// returns when it takes mail.
	Start(ctx context.Context) error
	// Stop kills it, all processes at once, and returns when they are gone. It
	// may be started again.
	Stop() error
	// Addresses are where it takes mail, host:port.
	Addresses() []string
	// Groups are its parts that are accounted apart, one for each node; they
	// last from Start to Stop.
	Groups() []*measure.Group
}

// Place is where a subject lives and where its mail goes.
type Place struct {
	// Dir is a folder of its own, which its Stop leaves as it is.
	Dir string
	// Hop is the address of the next hop for all mail, host:port.
	Hop string
}

// Kind is a way to make a subject.
type Kind struct {
	// Name is how tables call it.
	Name string
	// Durable says, where it is known, whether a message is on stable storage
	// when it is acknowledged.
	Durable string
	// New makes one; nothing runs yet.
	New func(Place) (Subject, error)
}

// Make gives a kind a folder under dir and makes the subject. remove deletes
// the folder again.
func (k Kind) Make(dir, hop string) (s Subject, remove func(), err error) {
	dir, err = os.MkdirTemp(dir, k.Name+"-")
	if err != nil {
		return nil, nil, err
	}
	remove = func() { _ = os.RemoveAll(dir) }
	// Mail servers run parts of themselves as users of their own.
	if err = os.Chmod(dir, 0o755); err == nil {
		s, err = k.New(Place{Dir: dir, Hop: hop})
	}
	if err != nil {
		remove()
		return nil, nil, fmt.Errorf("%s: %w", k.Name, err)
	}
	return s, remove, nil
}

// Use is the sum over all groups of a subject.
func Use(s Subject) (measure.Usage, error) {
	var sum measure.Usage
	for _, g := range s.Groups() {
		u, err := g.Usage()
		if err != nil {
			return sum, err
		}
		sum = sum.Plus(u)
	}
	return sum, nil
}

// WaitBanner returns when the address greets with 220, or when ctx ends.
func WaitBanner(ctx context.Context, address string) error {
	for {
		err := banner(ctx, address)
		if err == nil {
			return nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("no banner at %s: %w", address, errors.Join(ctx.Err(), err))
		}
	}
}

// banner reads a greeting and says goodbye.
func banner(ctx context.Context, address string) error {
	var d net.Dialer
	nc, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer nc.Close()
	if err := nc.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return err
	}
	line := make([]byte, 512)
	n, err := nc.Read(line)
	if err != nil {
		return err
	}
	if n < 3 || string(line[:3]) != "220" {
		return fmt.Errorf("greeted with %q", line[:n])
	}
	_, err = nc.Write([]byte("QUIT\r\n"))
	return err
}

// FreeAddress is a port on loopback that nobody uses now.
func FreeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("draw a port: %w", err)
	}
	defer l.Close()
	return l.Addr().String(), nil
}
