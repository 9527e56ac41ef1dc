package smtpc

import (
	"bytes"
	"io"
)

// lines writes content in lines that end with CRLF and in nothing else, with
// one at the end. A bare CR or LF, which the queue never holds, becomes CRLF:
// passed on as it is it could end the message early at a server that takes it
// for one. What is as it should be leaves in pieces of many lines.
type lines struct {
	w io.Writer
	// dots has a dot at the start of a line doubled, as DATA wants it (RFC
	// 5321, section 4.5.2).
	dots bool
	// inLine: the last byte written is not the LF of a CRLF.
	inLine bool
	// cr: a CR was read that has not been written yet.
	cr bool
	// mixed: a bare LF was seen; each line is looked at from then on.
	mixed bool
}

// from sends all of r by way of buf and returns how much that was. A failure
// of the reader comes back as sourceError.
func (s *lines) from(r io.Reader, buf []byte) (int64, error) {
	var total int64
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

// write sends what was read.
func (s *lines) write(p []byte) error {
	for len(p) > 0 {
		n := s.run(p)
		var err error
		if n > 0 {
			s.inLine = p[n-1] != '\n'
			_, err = s.w.Write(p[:n])
		} else {
			n, err = s.piece(p)
		}
		if err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// run is how many of the first bytes of p can leave as they are. It costs one
// search a line, and that no LF stands alone shows in their number.
func (s *lines) run(p []byte) int {
	if s.cr || s.mixed || s.dots && !s.inLine && p[0] == '.' {
		return 0
	}
	n, ends := 0, 0
	for n < len(p) {
		i := bytes.IndexByte(p[n:], '\r')
		if i < 0 {
			n = len(p)
			break
		}
		if n += i; n+1 == len(p) || p[n+1] != '\n' {
			break
		}
		n += len("\r\n")
		if ends++; s.dots && n < len(p) && p[n] == '.' {
			break
		}
	}
	if bytes.Count(p[:n], []byte("\n")) != ends {
		s.mixed = true
		return 0
	}
	return n
}

// piece sends the end of a line, or what comes before one.
func (s *lines) piece(p []byte) (int, error) {
	if s.cr {
		s.cr = false
		n := 0
		if p[0] == '\n' {
			n = 1
		}
		return n, s.endLine()
	}
	end := bytes.IndexAny(p, "\r\n")
	if end < 0 {
		return len(p), s.text(p)
	}
	if err := s.text(p[:end]); err != nil {
		return 0, err
	}
	if s.cr = p[end] == '\r'; s.cr {
		return end + 1, nil
	}
	return end + 1, s.endLine()
}

// text writes a piece of a line.
func (s *lines) text(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	if s.dots && !s.inLine && p[0] == '.' {
		if _, err := io.WriteString(s.w, "."); err != nil {
			return err
		}
	}
	s.inLine = true
	_, err := s.w.Write(p)
	return err
}

func (s *lines) endLine() error {
	s.inLine = false
	_, err := io.WriteString(s.w, "\r\n")
	return err
}

// finish ends the last line.
func (s *lines) finish() error {
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
