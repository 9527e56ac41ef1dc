package dsn

import (
	"mime"
	"strings"
)

// words are what a template may use. All texts are clean: one line each, without
// control characters.
type words struct {
	Hostname, Postmaster string
	// Sender is who gets the report.
	Sender string
	// ID is the message's with us; Received is when we got it.
	ID, Received string
	// Subject and MessageID are the original's; "" where it has none.
	Subject, MessageID string
	Recipients         []wordsRecipient
	// More counts recipients beyond those, which only the report lists.
	More int
}

// wordsRecipient is one recipient's story.
type wordsRecipient struct {
	Address string
	// Host is who answered or was tried, Text what was said or happened; both may
	// be "". Replied tells an answer of the host from our own words.
	Host, Text string
	Replied    bool
	// Expired: it was tried for long enough. Until is when that will be so, for
	// one that is delayed; else "".
	Expired bool
	Until   string
}

// words collects what templates may say.
func (r *report) words(d detail) *words {
	w := &words{
		Hostname: clean(r.Hostname, false, 255), Postmaster: clean(r.postmaster(), false, 320), Sender: clean(r.to.String(), false, 400),
		ID: string(r.m.Accepted.ID), Received: r.m.At.UTC().Format(dateFormat),
		Subject: decoded(r.m.Accepted.Subject), MessageID: clean(r.m.Accepted.HeaderID, false, 250),
	}
	for i, s := range r.rcpts {
		if i == d.described {
			w.More = len(r.rcpts) - i
			break
		}
		w.Recipients = append(w.Recipients, r.story(s, d))
	}
	return w
}

// story is why: what a server said, or what happened to us.
func (r *report) story(s Status, d detail) wordsRecipient {
	w := wordsRecipient{
		Address: clean(r.m.Recipients[s.N].Address.String(), false, 400),
		Host:    clean(s.Host, false, 255), Replied: s.Reply.Code != 0, Expired: s.Expired,
	}
	if d.diagnostic > 0 {
		w.Text = clean(s.diagnostic(), false, d.diagnostic)
	}
	if s.Action == Delayed && !s.RetryUntil.IsZero() {
		w.Until = s.RetryUntil.UTC().Format(dateFormat)
	}
	return w
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
