package smtpc

import (
	"bufio"
	"bytes"
	"io"
)

// stuffer writes content in the form DATA wants it: dots at the start of a
// line doubled (RFC 5321, section 4.5.2), CRLF the only line ending, one at the
// end. A bare CR or LF, which the queue never holds, becomes CRLF: passed on
// as it is it could end the message early at a server that takes it for one.
type stuffer struct {
	w *bufio.Writer
	// inLine: the last byte written is not the LF of a CRLF.
	inLine bool
	// cr: a CR was read that has not been written yet.
	cr bool
}

// ReadFrom sends all of r and returns how much that was. A failure of the
// reader comes back as sourceError.
func (s *stuffer) ReadFrom(r io.Reader) (int64, error) {
	var total int64
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Read(buf)
		total += int64(n)
		if werr := s.write(buf[:n]); werr != nil {
			return total, werr
		}
		if err == io.EOF {
			return total, s.finish()
		}
		if err != nil {
			return total, sourceError{err}
		}
	}
}

// write sends one chunk, line by line.
func (s *stuffer) write(p []byte) error {
	for len(p) > 0 {
		if s.cr {
			s.cr = false
			if p[0] == '\n' {
				p = p[1:]
			}
			if err := s.endLine(); err != nil {
				return err
			}
			continue
		}
		end := bytes.IndexByte(p, '\n')
		line := p
		if end >= 0 {
			line = p[:end]
		}
		if cr := bytes.IndexByte(line, '\r'); cr >= 0 {
			line, end = line[:cr], cr
			s.cr = true
		}
		if err := s.text(line); err != nil {
			return err
		}
		if end < 0 {
			return nil
		}
		p = p[end+1:]
		if s.cr {
			continue
		}
		if err := s.endLine(); err != nil {
			return err
		}
	}
	return nil
}

// text writes a piece of a line.
func (s *stuffer) text(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	if !s.inLine && p[0] == '.' {
		if err := s.w.WriteByte('.'); err != nil {
			return err
		}
	}
	s.inLine = true
	_, err := s.w.Write(p)
	return err
}

func (s *stuffer) endLine() error {
	s.inLine = false
	_, err := s.w.WriteString("\r\n")
	return err
}

// finish ends the last line.
func (s *stuffer) finish() error {
	if !s.inLine && !s.cr {
		return nil
	}
	s.cr = false
	return s.endLine()
}

// sourceError is a failure to read the content: not the server's fault.
type sourceError struct{ err error }

func (e sourceError) Error() string { return "reading the content: " + e.err.Error() }
func (e sourceError) Unwrap() error { return e.err }
