package smtpc

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// willing is a server that says yes to everything at once.
type willing struct {
	net.Conn
	replies bytes.Buffer
}

func (w *willing) Read(p []byte) (int, error)  { return w.replies.Read(p) }
func (w *willing) SetDeadline(time.Time) error { return nil }
func (w *willing) Close() error                { return nil }
func (w *willing) Write(p []byte) (int, error) {
	switch {
	case bytes.HasPrefix(p, []byte("EHLO")):
		w.replies.WriteString("250-them.example\r\n250-PIPELINING\r\n250 SIZE 0\r\n")
	case bytes.HasSuffix(p, []byte("DATA\r\n")):
		w.replies.WriteString("250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End data with <CR><LF>.<CR><LF>\r\n")
	case bytes.HasSuffix(p, []byte("\r\n.\r\n")):
		w.replies.WriteString("250 2.0.0 Ok: queued as 06h0kc5y1c01bh3tj0hr\r\n")
	}
	return len(p), nil
}

// BenchmarkSend sends messages over one connection.
func BenchmarkSend(b *testing.B) {
	for _, size := range []int{1 << 10, 10 << 10, 100 << 10} {
		content := strings.Repeat(strings.Repeat("x", 72)+"\r\n", size/74)
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			nc := &willing{}
			nc.replies.WriteString("220 them.example\r\n")
			c, err := Greet(context.Background(), nc, Options{Hostname: "us.example"})
			if err != nil {
				b.Fatal(err)
			}
			m := message(content, "a@them.example")
			b.ReportAllocs()
			for b.Loop() {
				m.Content = strings.NewReader(content)
				if res, err := c.Send(context.Background(), m); err != nil || !res.Final.Positive() {
					b.Fatal(res, err)
				}
			}
		})
	}
}
