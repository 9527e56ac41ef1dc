package local

import (
	"bytes"
	"errors"
	"io"

	"quorumta/delivery/transport"
)

// Letter writes the message for its i-th recipient as programs on this machine
// expect it: lines end with LF, and Return-Path and Delivered-To stand on top (RFC
// 5321, section 4.4). It counts what it wrote, and what that would be with CRLF.
// An error of the content is an *transport.Error of ours; others are the writer's.
func Letter(w io.Writer, m *transport.Message, i int, content io.Reader) (size, virtual int64, err error) {
	u := unixLines{w: w}
	head := "Return-Path: <" + m.From.String() + ">\r\nDelivered-To: " + m.Recipients[i].Address.String() + "\r\n"
	if _, err := io.WriteString(&u, head); err != nil {
		return u.out, u.in, err
	}
	_, err = io.CopyBuffer(&u, source{content}, make([]byte, 32<<10))
	return u.out, u.in, err
}

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

// source tells errors of the content from those of who takes it.
type source struct{ r io.Reader }

// Read implements io.Reader.
func (s source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = &transport.Error{Phase: transport.PhaseContent, Err: err, Ours: true}
	}
	return n, err
}
