package wire

import (
	"net"
	"strconv"
	"strings"
	"time"
	"unicode"

	gosmtp "github.com/emersion/go-smtp"
)

const (
	// replyLine is the longest text of a reply line: 512 octets with code,
	// enhanced code and CR LF (RFC 5321, section 4.5.3.1.5).
	replyLine = 490
	// replyRoom is after how many octets replies are written although more
	// input is at hand.
	replyRoom = 16 << 10
	// replyKept is the largest buffer a waiting connection keeps.
	replyKept = 1 << 10
)

// replies gathers replies until they are flushed.
type replies struct {
	conn net.Conn
	buf  []byte
	err  error // the first; nothing is written after it
}

// add appends a reply. Each line of the text becomes a line of the reply, with
// the enhanced code on each (RFC 2034, section 4).
func (w *replies) add(code int, enhanced gosmtp.EnhancedCode, text string) {
	for more := true; more; {
		var line string
		line, text, more = strings.Cut(text, "\n")
		w.buf = strconv.AppendInt(w.buf, int64(code), 10)
		if more {
			w.buf = append(w.buf, '-')
		} else {
			w.buf = append(w.buf, ' ')
		}
		if enhanced != gosmtp.NoEnhancedCode {
			for i, number := range enhanced {
				w.buf = strconv.AppendInt(w.buf, int64(number), 10)
				w.buf = append(w.buf, ".. "[i])
			}
		}
		w.buf = append(w.buf, clean(line)...)
		w.buf = append(w.buf, '\r', '\n')
	}
	if len(w.buf) >= replyRoom {
		_ = w.flush() // the error stays in w.err and stops the next read
	}
}

// flush writes what has been gathered.
func (w *replies) flush() error {
	if w.err != nil || len(w.buf) == 0 {
		return w.err
	}
	if w.err = w.conn.SetWriteDeadline(time.Now().Add(writeTime)); w.err == nil {
		_, w.err = w.conn.Write(w.buf)
	}
	w.buf = w.buf[:0]
	if cap(w.buf) > replyKept {
		w.buf = nil
	}
	return w.err
}

// clean keeps a text to one line of printable characters.
func clean(s string) string {
	if len(s) > replyLine {
		s = strings.ToValidUTF8(s[:replyLine], "")
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
}

// enhancedOf is the reply's enhanced code, or the plain one of its class (RFC
// 2034 wants one in every 2yz, 4yz and 5yz reply).
func enhancedOf(e *gosmtp.SMTPError) gosmtp.EnhancedCode {
	if e.EnhancedCode != gosmtp.EnhancedCodeNotSet {
		return e.EnhancedCode
	}
	if class := e.Code / 100; class == 2 || class == 4 || class == 5 {
		return gosmtp.EnhancedCode{class, 0, 0}
	}
	return gosmtp.NoEnhancedCode
}
