package outcome

import (
	"errors"
	"io"
)

// lazyContent opens content when it is first read.
type lazyContent struct {
	open func() (io.ReadCloser, error)
	r    io.ReadCloser
	err  error
}

func (c *lazyContent) Read(p []byte) (int, error) {
	if c.r == nil && c.err == nil {
		c.r, c.err = c.open()
	}
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		c.err = err
	}
	return n, err
}

func (c *lazyContent) close() {
	if c.r != nil {
		_ = c.r.Close()
	}
}

// emptyReader is content that is not there.
type emptyReader struct{}

func (emptyReader) Read([]byte) (int, error) { return 0, io.EOF }
