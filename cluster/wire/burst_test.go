package wire

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// counted counts reads and writes.
type counted struct {
	net.Conn
	reads, writes *atomic.Int64
}

func (c counted) Read(p []byte) (int, error) {
	c.reads.Add(1)
	return c.Conn.Read(p)
}

func (c counted) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

// handshake makes both ends of a TLS connection as a port does.
func handshake(t testing.TB, out, in net.Conn) (near secured, far *tls.Conn) {
	ca := newAuthority(t)
	client, server := ca.config("a"), ca.config("b")
	client.ServerName = "b"
	below, ahead := &burst{Conn: out}, &burst{Conn: in}
	near, far = secured{tls.Client(below, client), below}, tls.Server(ahead, server)
	done := make(chan error, 1)
	go func() { done <- far.Handshake() }()
	if err := near.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	ahead.readAhead()
	return near, far
}

// What is written at once goes out at once, up to a limit, and arrives as it was.
func TestRecordsOfAWriteGoOutTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, in := net.Pipe()
		var reads, writes atomic.Int64
		near, far := handshake(t, counted{out, &reads, &writes}, in)
		defer near.Close()
		defer far.Close()
		got := make([]byte, 1<<20)
		send := func(n int) int64 {
			sent := make([]byte, n)
			_, _ = rand.Read(sent)
			before := writes.Load()
			done := make(chan error, 1)
			go func() {
				_, err := near.Write(sent)
				done <- err
			}()
			if _, err := io.ReadFull(far, got[:n]); err != nil {
				t.Fatal(err)
			}
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got[:n], sent) {
				t.Errorf("%d bytes arrive as others", n)
			}
			return writes.Load() - before
		}
		send(1 << 20) // TLS begins with small records
		for n, want := range map[int]int64{1: 1, recordSize: 1, recordSize + 1: 1, 50_000: 1, 1 << 20: 16} {
			if got := send(n); got != want {
				t.Errorf("%d bytes go out in %d writes, not %d", n, got, want)
			}
		}
	})
}

// Who closes a connection does not wait for a write that is stuck in it.
func TestClosingDoesNotWaitForABurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, in := net.Pipe()
		near, _ := handshake(t, out, in)
		done := make(chan error, 1)
		go func() {
			_, err := near.Write(make([]byte, 50_000)) // nobody reads
			done <- err
		}()
		synctest.Wait()
		start := time.Now()
		_ = near.Close()
		if err := <-done; err == nil {
			t.Error("the write has ended well")
		}
		if took := time.Since(start); took > 0 {
			t.Errorf("closing took %v", took)
		}
	})
}

// What comes after a burst that was not sent would not be understood.
func TestNothingFollowsABurstThatFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, in := net.Pipe()
		near, far := handshake(t, out, in)
		defer far.Close()
		defer near.Close()
		_ = near.SetWriteDeadline(time.Now().Add(time.Second))
		if n, err := near.Write(make([]byte, 50_000)); err == nil || n != 0 {
			t.Errorf("%d bytes are said to be written: %v", n, err)
		}
		_ = near.SetWriteDeadline(time.Time{})
		if _, err := near.Write([]byte("x")); err == nil {
			t.Error("a write went out afterwards")
		}
	})
}

// An entry to a follower and its answer, over a socket.
func BenchmarkExchange(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	out, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	in, err := l.Accept()
	if err != nil {
		b.Fatal(err)
	}
	var reads, writes atomic.Int64
	near, far := handshake(b, counted{out, &reads, &writes}, counted{in, &reads, &writes})
	defer near.Close()
	entry, answer := make([]byte, 50_000), make([]byte, 64)
	go func() {
		defer far.Close()
		for got := make([]byte, len(entry)); ; {
			if _, err := io.ReadFull(far, got); err != nil {
				return
			}
			if _, err := far.Write(answer); err != nil {
				return
			}
		}
	}()
	b.SetBytes(int64(len(entry)))
	b.ReportAllocs()
	reads.Store(0)
	writes.Store(0)
	for b.Loop() {
		if _, err := near.Write(entry); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(near, answer); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(reads.Load())/float64(b.N), "reads/op")
	b.ReportMetric(float64(writes.Load())/float64(b.N), "writes/op")
}
