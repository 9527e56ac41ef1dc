package dsn

import (
	"bytes"
	"mime/quotedprintable"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// dateFormat is that of RFC 5322, section 3.3.
const dateFormat = "Mon, 02 Jan 2006 15:04:05 -0700"

// lineLength is where fields are folded (RFC 5322, section 2.1.1).
const lineLength = 78

// writer writes lines that end in CRLF.
type writer struct {
	bytes.Buffer
	// ascii replaces what is not ASCII.
	ascii bool
}

func (w *writer) line(text string) {
	w.WriteString(text)
	w.WriteString("\r\n")
}

// field writes a header or status field, cleaned and folded; an empty value
// writes none.
func (w *writer) field(name, value string) {
	value = clean(value, w.ascii, 2000)
	if value == "" {
		return
	}
	width := len(name) + 1
	w.WriteString(name + ":")
	for i, word := range strings.Split(value, " ") {
		for len(word) > 900 { // no line may pass 998 octets
			cut := runeStart(word, 900)
			w.WriteString("\r\n " + word[:cut])
			word, width = word[cut:], lineLength
		}
		if i > 0 && width+1+len(word) > lineLength {
			w.WriteString("\r\n")
			width = 0
		}
		w.WriteString(" " + word)
		width += 1 + len(word)
	}
	w.WriteString("\r\n")
}

// part writes a part of the multipart with its content. Text is encoded where
// it is not ASCII; what is returned, and what RFC 6533 forbids to encode, makes
// the report need 8BITMIME.
func (w *writer) part(boundary, contentType, description string, content []byte) {
	w.line("")
	w.line("--" + boundary)
	w.line("Content-Type: " + contentType)
	w.line("Content-Description: " + description)
	switch {
	case isASCII(content):
	case strings.HasPrefix(contentType, "text/plain"):
		w.line("Content-Transfer-Encoding: quoted-printable")
		content = quoted(content)
	default:
		w.line("Content-Transfer-Encoding: 8bit")
	}
	w.line("")
	w.Write(content)
	if !bytes.HasSuffix(content, []byte("\r\n")) {
		w.line("")
	}
}

func quoted(content []byte) []byte {
	var b bytes.Buffer
	w := quotedprintable.NewWriter(&b)
	_, _ = w.Write(content) // a Buffer takes everything
	_ = w.Close()
	return b.Bytes()
}

// clean makes one line of printable text: controls and other white space
// become single spaces, what is not UTF-8 (or, with ascii, not ASCII) becomes
// "?", and the rest beyond limit bytes is cut.
func clean(s string, ascii bool, limit int) string {
	var b strings.Builder
	space := false
	for _, c := range s {
		if unicode.IsSpace(c) || unicode.IsControl(c) || unicode.In(c, unicode.Zl, unicode.Zp) {
			space = b.Len() > 0
			continue
		}
		if c == utf8.RuneError || unicode.Is(unicode.Cf, c) || ascii && c >= utf8.RuneSelf {
			c = '?'
		}
		if b.Len()+4 > limit {
			b.WriteString("...")
			break
		}
		if space {
			b.WriteByte(' ')
			space = false
		}
		b.WriteRune(c)
	}
	return b.String()
}

// runeStart is the last start of a character at or before n.
func runeStart(s string, n int) int {
	for n > 1 && !utf8.RuneStart(s[n]) {
		n--
	}
	return n
}

func isASCII(text []byte) bool {
	for _, c := range text {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

var messageIDPattern = regexp.MustCompile(`^<[^<>\s"]+@[^<>\s"]+>$`)

func validMessageID(s string) bool { return messageIDPattern.MatchString(s) }
