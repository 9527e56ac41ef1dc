package load

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"time"
)

// content makes the messages. It is read-only after newContent.
type content struct {
	size int
	from string
	// to are the recipients of message n at n modulo its length; records
	// share them.
	to [][]string
	// text is random lines, longer than any message, so that neighbours do
	// not compress against each other; message n starts at a line of its own.
	text []byte
}

const (
	lineLength = 78 // with CRLF
	spare      = 13_441
)

// message is one message, ready to be sent: no line of it begins with a dot.
type message struct {
	id   string
	to   []string
	head []byte
	body []byte
	tail string // ends the last line, and the content
}

func newContent(o Options) *content {
	c := &content{size: o.Size, from: o.From}
	for n := range o.Domains {
		to := make([]string, o.Recipients)
		for k := range to {
			to[k] = "r" + strconv.Itoa(k) + "@" + o.Domains[(n+k)%len(o.Domains)]
		}
		c.to = append(c.to, to)
	}
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	random := rand.New(rand.NewPCG(1, 2))
	c.text = make([]byte, (o.Size/lineLength+1+spare)*lineLength)
	var bits uint64
	for i := range c.text {
		if i%10 == 0 { // 64 bits are ten letters
			bits = random.Uint64()
		}
		c.text[i] = letters[bits%64]
		bits >>= 6
	}
	for i := lineLength; i <= len(c.text); i += lineLength {
		c.text[i-2], c.text[i-1] = '\r', '\n'
	}
	return c
}

// message makes message n of a run.
func (c *content) message(run string, n int64) message {
	m := message{id: run + "-" + strconv.FormatInt(n, 10), to: c.to[n%int64(len(c.to))]}
	shown := m.to[:min(len(m.to), 10)]
	m.head = fmt.Appendf(make([]byte, 0, 512),
		"X-Bench-ID: %s\r\nMessage-ID: <%s@bench.example>\r\nDate: %s\r\nFrom: <%s>\r\nTo: %s\r\nSubject: bench %s\r\n\r\n",
		m.id, m.id, time.Now().UTC().Format(time.RFC1123Z), c.from, "<"+strings.Join(shown, ">,\r\n <")+">", m.id)
	m.tail = "\r\n.\r\n"
	start := int(n*7919%spare) * lineLength
	rest := max(c.size-len(m.head)-len("\r\n"), 1)
	if c.text[start+rest-1] == '\r' { // never cut between CR and LF
		rest--
		m.tail = "x\r\n.\r\n"
	}
	m.body = c.text[start : start+rest]
	return m
}

// writeTo sends the content and the final dot. An error means that the dot did
// not go out.
func (m message) writeTo(nc net.Conn) (int64, error) {
	b := net.Buffers{m.head, m.body, []byte(m.tail)}
	return b.WriteTo(nc)
}
