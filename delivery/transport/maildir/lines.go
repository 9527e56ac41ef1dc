package maildir

import (
	"bytes"
	"errors"
	"io"
)

// unixLines writes what it is given with LF in the place of CRLF, and counts.
type unixLines struct {
	w io.Writer
	// in and out count octets.
	in, out int64
	// cr: a CR was given that has not been written yet.
	cr  bool
	buf []byte
}

// Write implements io.Writer. A CR at the very end is never written: content ends
// with CRLF.
func (u *unixLines) Write(p []byte) (int, error) {
	u.in += int64(len(p))
	rest := p
	u.buf = u.buf[:0]
	for len(rest) > 0 {
		if u.cr && rest[0] != '\n' {
			u.buf = append(u.buf, '\r')
		}
		i := bytes.IndexByte(rest, '\r')
		if u.cr = i >= 0; !u.cr {
			u.buf = append(u.buf, rest...)
			break
		}
		u.buf = append(u.buf, rest[:i]...)
		rest = rest[i+1:]
	}
	n, err := u.w.Write(u.buf)
	u.out += int64(n)
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// onlyReader tells errors of the content from those of the file.
type onlyReader struct{ r io.Reader }

func (o onlyReader) Read(p []byte) (int, error) {
	n, err := o.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = sourceError{err}
	}
	return n, err
}

// sourceError is a failure to read the content: no mailbox is at fault.
type sourceError struct{ err error }

func (e sourceError) Error() string { return "read the content: " + e.err.Error() }
