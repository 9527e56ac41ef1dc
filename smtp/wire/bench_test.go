package wire

import (
	"context"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	gosmtp "github.com/emersion/go-smtp"
)

// sink is a backend that drops what it gets.
type sink struct{ buf []byte }

func (s *sink) NewSession(*Conn) (gosmtp.Session, error) { return s, nil }
func (s *sink) Reset()                                   {}
func (s *sink) Logout() error                            { return nil }
func (s *sink) Mail(string, *gosmtp.MailOptions) error   { return nil }
func (s *sink) Rcpt(string, *gosmtp.RcptOptions) error   { return nil }
func (s *sink) Data(r io.Reader) error {
	for {
		if _, err := r.Read(s.buf); err != nil {
			if err == io.EOF {
				return nil
			}
			return err
		}
	}
}

func BenchmarkMessage(b *testing.B) {
	line := strings.Repeat("0123456789", 7) + "\r\n"
	for _, size := range []int{1 << 10, 10 << 10, 10 << 20} {
		content := strings.Repeat(line, size/len(line))
		for name, body := range map[string]string{
			"DATA": "DATA\r\n" + content + ".\r\n",
			"BDAT": fmt.Sprintf("BDAT %d LAST\r\n%s", len(content), content),
		} {
			message := "MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\n" + body
			b.Run(fmt.Sprintf("%s/%d", name, size), func(b *testing.B) {
				o := testOptions(&sink{buf: make([]byte, 32<<10)})
				o.MaxMessage = 1 << 30
				conn := &repeated{message: []byte(message), left: b.N}
				b.SetBytes(int64(size))
				b.ReportAllocs()
				NewConn(context.Background(), conn, o).Serve()
			})
		}
	}
}

// BenchmarkContent reads content as DATA and BDAT bring it, in lines of
// different lengths; the aim is 1 GB/s where lines have the usual length.
func BenchmarkContent(b *testing.B) {
	const size = 1 << 20
	for _, c := range []struct {
		name string
		line string
	}{
		{"lines of 72", strings.Repeat("x", 72) + "\r\n"},
		{"lines of 998", strings.Repeat("x", 998) + "\r\n"},
		{"empty lines", "\r\n"},
		{"stuffed lines", "..\r\n"},
	} {
		content := strings.Repeat(c.line, size/len(c.line))
		b.Run("DATA/"+c.name, func(b *testing.B) {
			buf, in := make([]byte, 32<<10), benchReader()
			text := content + ".\r\n"
			defer perCore(b, len(content))()
			for b.Loop() {
				in.src = strings.NewReader(text)
				d := newDotReader(in, size, 1<<20)
				for !d.done {
					if _, err := d.Read(buf); err != nil && err != io.EOF {
						b.Fatal(err)
					}
				}
			}
		})
		b.Run("BDAT/"+c.name, func(b *testing.B) {
			text := []byte(content)
			defer perCore(b, len(content))()
			for b.Loop() {
				g := newGuard(size, 1<<20)
				for p := text; len(p) > 0 && g.fault == sound; p = p[min(32<<10, len(p)):] {
					g.scan(p[:min(32<<10, len(p))])
				}
			}
		})
	}
}

// perCore reports what a core does in a second, which a busy machine does not
// change as it does the time a benchmark takes.
func perCore(b *testing.B, size int) func() {
	b.SetBytes(int64(size))
	began := cpuTime()
	return func() {
		b.ReportMetric(float64(size)*float64(b.N)/1e6/(cpuTime()-began).Seconds(), "MB/core-s")
	}
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func benchReader() *reader {
	return &reader{before: func() error { return nil }, buf: make([]byte, largeBuffer)}
}

// repeated is a connection on which a message comes again and again.
type repeated struct {
	scripted
	message []byte
	left    int
	started bool
}

// Read implements net.Conn.
func (r *repeated) Read(p []byte) (int, error) {
	if len(r.in) == 0 {
		if r.left == 0 {
			return 0, io.EOF
		}
		if r.in = r.message; !r.started {
			r.in, r.started, r.left = []byte(hello4), true, r.left+1
		}
		r.left--
	}
	n := copy(p, r.in)
	r.in = r.in[n:]
	return n, nil
}

// Write implements net.Conn.
func (r *repeated) Write(p []byte) (int, error) { return len(p), nil }
