package wire

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

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
