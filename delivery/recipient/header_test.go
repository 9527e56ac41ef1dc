package recipient

import (
	"errors"
	"io"
	"strings"
	"testing"

	"quorumta/queue/event"
)

// content counts how often it is opened, and how much of it is read.
type content struct {
	text         string
	err          error
	opened, read int
}

func (c *content) Open(*event.Accepted) (io.ReadCloser, error) {
	c.opened++
	return io.NopCloser(&reader{c, strings.NewReader(c.text)}), c.err
}

type reader struct {
	c *content
	r io.Reader
}

func (r *reader) Read(b []byte) (int, error) {
	n, err := r.r.Read(b)
	r.c.read += n
	return n, err
}

func TestHeader(t *testing.T) {
	c := content{text: "X-Team: sales\r\nx-team: north\r\n folded\r\n\r\nX-Body: no\r\n"}
	fields := Header(&c, nil)
	if c.opened != 0 {
		t.Error("it is opened though nobody asks")
	}
	for range 2 {
		if got, err := fields(); err != nil || got["x-team"] != "sales, north folded" || len(got) != 1 {
			t.Errorf("%q, %v", got, err)
		}
	}
	if c.opened != 1 {
		t.Errorf("it is opened %d times", c.opened)
	}
	long := content{text: "A: 1\r\nB: " + strings.Repeat("x", 1<<20) + "\r\nC: 2\r\n"}
	if got, err := Header(&long, nil)(); err != nil || got["a"] != "1" || len(got) != 1 || long.read > maxHeader {
		t.Errorf("%d fields of %d octets, %v", len(got), long.read, err)
	}
	broken := content{err: errors.New("damaged")}
	if _, err := Header(&broken, nil)(); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Error(err)
	}
}
