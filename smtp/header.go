package smtp

import (
	"bytes"
	"strings"
)

const (
	// fieldKept is how much of a field is kept.
	fieldKept = 256
	// lineKept is how much of a header line is looked at.
	lineKept = 512
)

// header watches a message's header pass by. It counts Received fields and
// keeps the beginnings of a few others, as they were received, unfolded.
type header struct {
	received    int
	messageID   string
	subject     string
	traceparent string
	tlsRequired string

	line  []byte // the present line without its end, cut to lineKept
	field *string
	over  bool
}

// watch looks at the next octets of the content.
func (h *header) watch(p []byte) {
	for !h.over && len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			h.keep(p)
			return
		}
		h.keep(p[:i])
		p = p[i+1:]
		h.take(bytes.TrimSuffix(h.line, []byte("\r")))
		h.line = h.line[:0]
	}
}

func (h *header) keep(p []byte) {
	h.line = append(h.line, p[:min(len(p), lineKept-len(h.line))]...)
}

// take looks at a whole line.
func (h *header) take(line []byte) {
	switch {
	case len(line) == 0:
		h.over, h.line, h.field = true, nil, nil
	case line[0] == ' ' || line[0] == '\t':
		h.add(line)
	default:
		h.begin(line)
	}
}

// begin looks at the first line of a field. The first field of a name counts.
func (h *header) begin(line []byte) {
	h.field = nil
	name, value, ok := bytes.Cut(line, []byte(":"))
	if !ok {
		return
	}
	switch strings.ToLower(string(bytes.TrimRight(name, " \t"))) {
	case "received":
		h.received++
		return
	case "message-id":
		h.field = &h.messageID
	case "subject":
		h.field = &h.subject
	case "traceparent":
		h.field = &h.traceparent
	case "tls-required":
		h.field = &h.tlsRequired
	default:
		return
	}
	if *h.field != "" {
		h.field = nil
		return
	}
	h.add(value)
}

// add appends to the field that is being kept.
func (h *header) add(value []byte) {
	if h.field == nil {
		return
	}
	text := *h.field + strings.ToValidUTF8(string(value), "\uFFFD")
	text = strings.TrimLeft(text, " \t")
	if len(text) > fieldKept {
		text = strings.ToValidUTF8(text[:fieldKept], "")
		*h.field, h.field = text, nil
		return
	}
	*h.field = text
}

// tlsOptional reports whether the header says TLS-Required: No (RFC 8689,
// section 3), the only value there is.
func (h *header) tlsOptional() bool {
	return strings.EqualFold(strings.TrimSpace(h.tlsRequired), "no")
}
