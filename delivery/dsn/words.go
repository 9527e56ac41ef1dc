package dsn

import (
	"fmt"
	"mime"
	"strings"
)

// words is the part for people.
func (r *report) words(d detail) []byte {
	w := &writer{}
	w.line("This is the mail relay at " + clean(r.Hostname, false, 255) + ".")
	w.line("")
	w.line(r.opening())
	w.line("")
	for i, s := range r.rcpts {
		if i == d.described {
			w.line(fmt.Sprintf("and %d more, listed in the report below.", len(r.rcpts)-i))
			w.line("")
			break
		}
		r.describe(w, s, d)
	}
	w.line("The message:")
	w.line("")
	w.line("    Received: " + r.m.At.UTC().Format(dateFormat))
	if subject := decoded(r.m.Accepted.Subject); subject != "" {
		w.line("    Subject:  " + subject)
	}
	if id := clean(r.m.Accepted.HeaderID, false, 250); id != "" {
		w.line("    Its id:   " + id)
	}
	w.line("    Our id:   " + string(r.m.Accepted.ID))
	w.line("")
	w.line("If you need help, write to " + clean(r.postmaster(), false, 320) + " and")
	w.line("enclose this report.")
	return w.Bytes()
}

func (r *report) opening() string {
	switch r.kind {
	case Delay:
		return "Your message is still on its way. It has not been delivered yet to the\r\n" +
			"following recipients, and will be tried again. You need not send it again."
	case Success:
		return "Your message was handed over for the following recipients, as you asked\r\n" +
			"to be told. The servers there may not report what follows."
	}
	return "Your message could not be delivered to the following recipients. It will\r\n" +
		"not be tried again."
}

// describe tells one recipient's story.
func (r *report) describe(w *writer, s Status, d detail) {
	w.line("    <" + clean(r.m.Recipients[s.N].Address.String(), false, 400) + ">")
	for _, line := range wrap(r.story(s, d), 64) {
		w.line("        " + line)
	}
	if s.Action == Delayed && !s.RetryUntil.IsZero() {
		w.line("        It will be tried until " + s.RetryUntil.UTC().Format(dateFormat) + ".")
	}
	w.line("")
}

// story is why: what a server said, or what happened to us.
func (r *report) story(s Status, d detail) string {
	text := ""
	if d.diagnostic > 0 {
		text = clean(s.diagnostic(), false, d.diagnostic)
	}
	host := clean(s.Host, false, 255)
	switch {
	case text == "" || host == "":
	case s.Reply.Code != 0:
		text = host + " said: " + text
	default:
		text = host + ": " + text
	}
	if s.Expired {
		text = strings.TrimSpace("It was tried for too long. " + text)
	}
	return text
}

func (r *report) postmaster() string {
	if r.Postmaster.IsNull() {
		return "postmaster@" + r.Hostname
	}
	return r.Postmaster.String()
}

// decoded is a header field's text without the encoding of RFC 2047.
func decoded(field string) string {
	text, err := new(mime.WordDecoder).DecodeHeader(field)
	if err != nil {
		text = field
	}
	return clean(text, false, 256)
}

// wrap breaks a clean text at spaces.
func wrap(text string, width int) []string {
	var lines []string
	for _, word := range strings.Fields(text) {
		last := len(lines) - 1
		if last >= 0 && len(lines[last])+1+len(word) <= width {
			lines[last] += " " + word
			continue
		}
		lines = append(lines, word)
	}
	return lines
}
