package wire

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// peer plays the client's side of a pipe within a bubble of virtual time.
type peer struct {
	conn  net.Conn
	heard chan string // everything, once the server has closed
	since time.Time
}

func newPeer(t *testing.T, o *Options) (*peer, *Conn) {
	server, conn := net.Pipe()
	c := NewConn(t.Context(), server, o)
	p := &peer{conn: conn, heard: make(chan string, 1), since: time.Now()}
	go c.Serve()
	go func() {
		all, _ := io.ReadAll(conn)
		p.heard <- string(all)
	}()
	return p, c
}

func (p *peer) say(s string) { _, _ = io.WriteString(p.conn, s) }

// end returns the replies' codes and after how long the server closed.
func (p *peer) end() (string, time.Duration) {
	all := <-p.heard
	_ = p.conn.Close()
	return codes(all), time.Since(p.since)
}

func TestIdleClientIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := newPeer(t, testOptions(&recorder{}))
		p.say(hello4)
		time.Sleep(30 * time.Second)
		p.say("NO") // a piece of a command does not start the clock again
		if got, after := p.end(); got != "220 250 421/4.4.2" || after != time.Minute {
			t.Errorf("%s after %v", got, after)
		}
	})
}

func TestSilenceInContent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &recorder{}
		p, _ := newPeer(t, testOptions(b))
		p.say(begin4 + "DATA\r\n")
		time.Sleep(50 * time.Second)
		p.say("x\r\n")
		if got, after := p.end(); got != opened+"354 421/4.4.2" || after != time.Minute || len(b.all()) > 0 {
			t.Errorf("%s after %v", got, after)
		}
	})
}

func TestContentMayTakeLongButNotForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := testOptions(&recorder{})
		o.MaxMessage = 1 << 20
		p, _ := newPeer(t, o)
		p.say(begin4 + "DATA\r\n")
		for range 20 { // 1000 octets in 1.9 s: more than 500 a second
			p.say(strings.Repeat("0123456\r\n", 111) + "\r\n")
			time.Sleep(1900 * time.Millisecond)
		}
		for range 20 { // ten minutes
			p.say(strings.Repeat("0123456\r\n", 1777))
			time.Sleep(30 * time.Second)
		}
		p.say(".\r\n")
		p.say("QUIT\r\n")
		if got, _ := p.end(); got != opened+"354 250/2.0.0 221/2.0.0" {
			t.Errorf("steady: %s", got)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		p, _ := newPeer(t, testOptions(&recorder{}))
		p.say(begin4 + "DATA\r\n")
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range 1000 {
				if _, err := io.WriteString(p.conn, "x"); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}()
		if got, after := p.end(); got != opened+"354 421/4.4.2" || after > 70*time.Second {
			t.Errorf("trickle: %s after %v", got, after)
		}
		<-done
	})
}

func TestDrainWakesWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, c := newPeer(t, testOptions(&recorder{}))
		p.say(hello4)
		synctest.Wait()
		c.Drain()
		if got, after := p.end(); got != "220 250 421/4.3.2" || after != 0 {
			t.Errorf("%s after %v", got, after)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		b := &recorder{}
		p, c := newPeer(t, testOptions(b))
		p.say(begin4)
		synctest.Wait()
		c.Drain()
		p.say("DATA\r\n")
		time.Sleep(20 * time.Second)
		p.say("x\r\n.\r\n")
		if got, _ := p.end(); got != opened+"354 250/2.0.0 421/4.3.2" || len(b.all()) != 1 {
			t.Errorf("busy: %s", got)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		p, c := newPeer(t, testOptions(&recorder{}))
		p.say(begin4)
		synctest.Wait()
		c.Drain()
		if got, after := p.end(); got != opened+"421/4.4.2" || after > drainingIdle {
			t.Errorf("dawdling: %s after %v", got, after)
		}
	})
}

func TestContextEndsConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, client := net.Pipe()
		ctx, cancel := context.WithCancel(t.Context())
		c := NewConn(ctx, server, testOptions(&recorder{}))
		done := make(chan struct{})
		go func() { c.Serve(); close(done) }()
		go func() { _, _ = io.Copy(io.Discard, client) }()
		synctest.Wait()
		cancel()
		<-done
	})
}
