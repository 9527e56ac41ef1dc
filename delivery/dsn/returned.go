package dsn

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"quorumta/internal/mail"
	"quorumta/queue/event"
)

const (
	// defaultMaxBody is Builder.MaxBody where it is 0.
	defaultMaxBody = 50_000
	// maxHeaders is how much of a header is returned.
	maxHeaders = 64 << 10
)

// returned is what a report gives back of the message.
type returned struct {
	text []byte
	// whole says that it is all of the message, not its header alone.
	whole bool
}

func (t returned) contentType(utf8 bool) string {
	switch {
	case t.whole && utf8:
		return "message/global"
	case t.whole:
		return "message/rfc822"
	case utf8:
		return "message/global-headers"
	}
	return "text/rfc822-headers"
}

func (t returned) description() string {
	if t.whole {
		return "Your message"
	}
	return "Header of your message"
}

// read takes from the content what is to be returned: RET speaks of failures
// alone, all else returns headers (RFC 3461, section 4.3). So do those about
// messages under REQUIRETLS, whatever RET says (RFC 8689, section 5).
func (r *report) read(content io.Reader) (returned, error) {
	limit := r.MaxBody
	if limit <= 0 {
		limit = defaultMaxBody
	}
	limit = min(limit, event.MaxPart/2)
	wish := r.m.Accepted.Envelope.Return
	if wish == mail.ReturnUnset {
		wish = r.Return
	}
	if r.kind == Failure && wish == mail.ReturnFull && !r.m.Accepted.Envelope.RequireTLS && r.m.Accepted.Size <= limit {
		text, err := io.ReadAll(io.LimitReader(content, limit+1))
		if err != nil {
			return returned{}, fmt.Errorf("read the message: %w", err)
		}
		if int64(len(text)) <= limit && !overlong(text) {
			return returned{text: text, whole: true}, nil
		}
		content = bytes.NewReader(text)
	}
	text, err := readHeader(content)
	return returned{text: folded(text)}, err
}

// maxLine is the longest line of mail, without its end (RFC 5322, section
// 2.1.1).
const maxLine = 998

// overlong: a line is longer than a report may have, and stays whole nowhere.
func overlong(text []byte) bool {
	for line := range bytes.SplitSeq(text, []byte("\r\n")) {
		if len(line) > maxLine {
			return true
		}
	}
	return false
}

// folded is a header without overlong lines.
func folded(header []byte) []byte {
	if !overlong(header) {
		return header
	}
	var out []byte
	for line := range bytes.SplitSeq(bytes.TrimSuffix(header, []byte("\r\n")), []byte("\r\n")) {
		for len(line) > maxLine {
			cut := runeStart(string(line), 900)
			out = append(append(out, line[:cut]...), "\r\n "...)
			line = line[cut:]
		}
		out = append(append(out, line...), "\r\n"...)
	}
	return out
}

// readHeader reads up to the empty line, or as many whole lines as are
// returned.
func readHeader(content io.Reader) ([]byte, error) {
	lines := bufio.NewReader(io.LimitReader(content, maxHeaders))
	var text []byte
	for {
		line, err := lines.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			// A longer line than the reader's buffer is kept, in pieces.
		case errors.Is(err, io.EOF):
			return wholeLines(text, line), nil
		case err != nil:
			return nil, fmt.Errorf("read the message's header: %w", err)
		case string(line) == "\r\n" && (len(text) == 0 || text[len(text)-1] == '\n'):
			return text, nil
		}
		text = append(text, line...)
	}
}

// wholeLines leaves out a line that was cut, unless there is no other.
func wholeLines(text, rest []byte) []byte {
	text = append(text, rest...)
	if end := bytes.LastIndexByte(text, '\n'); end >= 0 {
		return text[:end+1]
	}
	return text
}
