package convert

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"mime"
	"strings"
)

const (
	// maxHeader is the longest header of a part, pieceSize how much of a line is
	// looked at at once, maxParts the most parts of a message.
	maxHeader = 1 << 20
	pieceSize = 32 << 10
	maxParts  = 10_000
	// maxDepth is how deep multiparts nest.
	maxDepth = 100
)

// ErrTooComplex: the message's structure is beyond what is looked at.
var ErrTooComplex = errors.New("the message has too many parts, or too long headers")

// entity is a MIME part with its header (RFC 2045, section 2.4), the message
// itself being the first.
type entity struct {
	// raw is the header with the empty line behind it, as it was read; an
	// entity that breaks off before that has none.
	raw []byte
	// media is the type in lower case, encoding the Content-Transfer-Encoding.
	media, encoding string
	// top: the header of a message, not of a part of one.
	top bool
	// leaf: it has a body, not parts or a message.
	leaf bool
	// sealed: it is below something that is signed or encrypted.
	sealed bool
}

// visitor is told what a walker finds, in order. Pieces are of one line each and
// without its end; first and last say whether the line begins and ends there.
type visitor interface {
	entity(e *entity)
	// text is a piece of a leaf's body; end is that of the body, whose last line
	// end belongs to what follows if delimited.
	text(piece []byte, first, last bool)
	end(delimited bool)
	// around is a piece of what stands around parts: delimiters, and what is
	// before the first and after the last.
	around(piece []byte, first, last, sealed bool)
}

// frame is a multipart that is open.
type frame struct {
	delimiter string // "--" and the boundary
	sealed    bool
	digest    bool // its parts are messages if they do not say otherwise
}

// walker goes through a message.
type walker struct {
	in     *bufio.Reader
	v      visitor
	frames []frame
	header []byte
	parts  int
	// where the next line belongs.
	where place
	// top: the header is that of a message.
	top bool
	// inLine: the last piece did not end its line.
	inLine bool
}

type place uint8

const (
	inHeader place = iota
	inBody
	inBetween
)

func newWalker(r io.Reader, v visitor) *walker {
	return &walker{in: bufio.NewReaderSize(r, pieceSize), v: v, top: true}
}

// step reads one piece; io.EOF at the end.
func (w *walker) step() error {
	line, err := w.in.ReadSlice('\n')
	ended := err == nil
	if err != nil && !errors.Is(err, bufio.ErrBufferFull) && (!errors.Is(err, io.EOF) || len(line) == 0) {
		if errors.Is(err, io.EOF) {
			w.finish()
		}
		return err
	}
	first := !w.inLine
	w.inLine = !ended
	text := line
	if ended {
		text = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
	}
	if first {
		if i, closing := w.delimiter(text); i >= 0 {
			return w.cross(i, closing, text, ended)
		}
	}
	switch w.where {
	case inHeader:
		if len(w.header)+len(line) > maxHeader {
			return ErrTooComplex
		}
		w.header = append(w.header, line...)
		if first && ended && len(text) == 0 {
			return w.begin()
		}
	case inBody:
		w.v.text(text, first, ended)
	default:
		w.v.around(text, first, ended, w.sealed())
	}
	return nil
}

// sealed reports whether the place is below something that is signed or
// encrypted.
func (w *walker) sealed() bool { return len(w.frames) > 0 && w.frames[len(w.frames)-1].sealed }

// delimiter finds the multipart that a line divides, -1 where it is none, and
// whether it ends that (RFC 2046, section 5.1.1).
func (w *walker) delimiter(line []byte) (frame int, closing bool) {
	if len(w.frames) == 0 || !bytes.HasPrefix(line, []byte("--")) {
		return -1, false
	}
	line = bytes.TrimRight(line, " \t")
	for i := len(w.frames) - 1; i >= 0; i-- {
		rest, ok := bytes.CutPrefix(line, []byte(w.frames[i].delimiter))
		if ok && (len(rest) == 0 || string(rest) == "--") {
			return i, len(rest) > 0
		}
	}
	return -1, false
}

// cross goes over a delimiter.
func (w *walker) cross(i int, closing bool, line []byte, ended bool) error {
	if w.where == inHeader { // a header that breaks off
		if err := w.begin(); err != nil {
			return err
		}
	}
	if w.where == inBody {
		w.v.end(true)
	}
	w.v.around(line, true, ended, false)
	w.frames = w.frames[:i+1]
	w.where = inHeader
	if closing {
		w.frames = w.frames[:i]
		w.where = inBetween
	}
	w.header, w.top = w.header[:0], false
	return nil
}

// begin reads the header of an entity, which is complete, and goes on behind it.
func (w *walker) begin() error {
	if w.parts++; w.parts > maxParts {
		return ErrTooComplex
	}
	e := entity{raw: w.header, top: w.top, sealed: w.sealed(), media: "text/plain", encoding: "7bit"}
	if n := len(w.frames); n > 0 && w.frames[n-1].digest && !w.top {
		e.media = "message/rfc822" // RFC 2046, section 5.1.5
	}
	var boundary string
	if value, ok := field(w.header, "Content-Type"); ok {
		media, params, err := mime.ParseMediaType(value)
		if err == nil || errors.Is(err, mime.ErrInvalidMediaParameter) {
			e.media, boundary = media, params["boundary"]
		}
	}
	if value, ok := field(w.header, "Content-Transfer-Encoding"); ok {
		e.encoding = strings.ToLower(strings.TrimSpace(value))
	}
	plain := e.encoding != "base64" && e.encoding != "quoted-printable"
	inside := plain && (e.media == "message/rfc822" || e.media == "message/global")
	multi := strings.HasPrefix(e.media, "multipart/") && boundary != "" && plain
	e.leaf = !inside && !multi
	w.v.entity(&e)
	w.header = w.header[:0]
	switch {
	case inside:
		w.where, w.top = inHeader, true
	case multi:
		if len(w.frames) == maxDepth {
			return ErrTooComplex
		}
		w.frames = append(w.frames, frame{
			delimiter: "--" + boundary, digest: e.media == "multipart/digest",
			sealed: e.sealed || e.media == "multipart/signed" || e.media == "multipart/encrypted",
		})
		w.where = inBetween
	default:
		w.where = inBody
	}
	return nil
}

// finish ends what is open at the end of the message.
func (w *walker) finish() {
	if w.where == inHeader && len(w.header) > 0 && w.begin() != nil {
		return
	}
	if w.where == inBody {
		w.v.end(false)
	}
	w.where = inBetween
}

// field is the unfolded value of the first field with a name.
func field(header []byte, name string) (string, bool) {
	start, end := find(header, name)
	if start == end {
		return "", false
	}
	_, value, _ := bytes.Cut(header[start:end], []byte(":"))
	return strings.TrimSpace(strings.NewReplacer("\r", "", "\n", "").Replace(string(value))), true
}

// find is where the first field with a name stands, with its line end; an empty
// range where there is none.
func find(header []byte, name string) (start, end int) {
	for at := 0; at < len(header); {
		next := at
		for {
			i := bytes.IndexByte(header[next:], '\n')
			if i < 0 {
				next = len(header)
				break
			}
			next += i + 1
			if next == len(header) || header[next] != ' ' && header[next] != '\t' {
				break
			}
		}
		label, _, ok := bytes.Cut(header[at:next], []byte(":"))
		if ok && strings.EqualFold(strings.TrimRight(string(label), " \t"), name) {
			return at, next
		}
		at = next
	}
	return 0, 0
}
