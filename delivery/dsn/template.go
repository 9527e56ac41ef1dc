package dsn

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"strings"
	"text/template"
	"unicode"
	"unicode/utf8"
)

// shipped are the words that come with the program, a directory for each
// language.
//
//go:embed words
var shipped embed.FS

// fallback is the language that is always there.
const fallback = "en"

// templateNames are the files of a language.
var templateNames = []string{"failure", "delay", "success", "double"}

// Templates are the words of reports by language, or by another name that rules
// choose; safe for concurrent use.
type Templates struct {
	sets map[string]map[string]*template.Template
	// safe are the program's own in English, for when others fail.
	safe map[string]*template.Template
}

// NewTemplates reads LANGUAGE/failure.txt, delay.txt, success.txt and double.txt
// from a directory; what is not there comes with the program, of the language or
// in English. A nil directory has nothing. Each template is tried out: one that
// fails is an error here, not when a report is due.
func NewTemplates(dir fs.FS) (*Templates, error) {
	t := &Templates{sets: map[string]map[string]*template.Template{}}
	own, err := fs.Sub(shipped, "words")
	if err != nil {
		return nil, fmt.Errorf("read the program's words: %w", err)
	}
	if err := t.read(own); err != nil {
		return nil, err
	}
	t.safe = maps.Clone(t.sets[fallback])
	if dir != nil {
		err = t.read(dir)
	}
	return t, err
}

// read takes over what a directory has.
func (t *Templates) read(dir fs.FS) error {
	languages, err := fs.ReadDir(dir, ".")
	if err != nil {
		return fmt.Errorf("read the templates of reports: %w", err)
	}
	var faults []error
	for _, language := range languages {
		if !language.IsDir() {
			continue
		}
		name := strings.ToLower(language.Name())
		for _, kind := range templateNames {
			file := path.Join(language.Name(), kind+".txt")
			text, err := fs.ReadFile(dir, file)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err == nil {
				err = t.add(name, kind, string(text))
			}
			if err != nil {
				faults = append(faults, fmt.Errorf("template %s: %w", file, err))
			}
		}
	}
	return errors.Join(faults...)
}

// add parses a template and tries it out.
func (t *Templates) add(language, kind, text string) error {
	functions := template.FuncMap{"wrap": func(text string) string {
		var b strings.Builder
		for _, line := range wrap(text, 64) {
			b.WriteString("        " + line + "\n")
		}
		return b.String()
	}}
	parsed, err := template.New(kind).Funcs(functions).Option("missingkey=error").Parse(strings.ReplaceAll(text, "\r\n", "\n"))
	if err != nil {
		return err
	}
	sample := &words{
		Hostname: "relay.example", Postmaster: "postmaster@relay.example", Sender: "sender@example.org", ID: "00000000000000000000", Received: dateFormat,
		Subject: "x", MessageID: "<x@example.org>", More: 1,
		Recipients: []wordsRecipient{{Address: "rcpt@example.org", Host: "mx.example.org", Text: "x", Replied: true, Expired: true, Until: dateFormat}, {}},
	}
	for _, data := range []*words{sample, {}} {
		if _, _, err := say(parsed, data); err != nil {
			return err
		}
	}
	if t.sets[language] == nil {
		t.sets[language] = map[string]*template.Template{}
	}
	t.sets[language][kind] = parsed
	return nil
}

// Has reports whether there are words under that name.
func (t *Templates) Has(language string) bool { return t.sets[strings.ToLower(language)] != nil }

// say is the subject and the text of a kind of report, in the language if it has
// them. The error says why it could not be in that language: the words are then
// English ones, which do not fail.
func (t *Templates) say(language, kind string, data *words) (subject string, text []byte, err error) {
	own := t.sets[strings.ToLower(language)][kind]
	if own == nil {
		language, own = fallback, t.sets[fallback][kind]
	}
	if subject, text, err = say(own, data); err == nil {
		return subject, text, nil
	}
	err = fmt.Errorf("template %s/%s.txt: %w", language, kind, err)
	subject, text, broken := say(t.safe[kind], data)
	if broken != nil {
		subject, text = "Delivery report", []byte("The report below says what became of your message.\r\n")
	}
	return subject, text, errors.Join(err, broken)
}

// maxWords bounds what a template writes.
const maxWords = 64 << 10

// limited is a buffer that ends a template which writes too much.
type limited struct{ bytes.Buffer }

// Write implements io.Writer.
func (b *limited) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxWords {
		return 0, fmt.Errorf("it writes more than %d bytes", maxWords)
	}
	return b.Buffer.Write(p)
}

// say runs a template: its first line is the subject, its text follows after an
// empty one.
func say(t *template.Template, data *words) (subject string, text []byte, err error) {
	var out limited
	if err := t.Execute(&out, data); err != nil {
		return "", nil, err
	}
	head, body, ok := strings.Cut(out.String(), "\n\n")
	subject, named := strings.CutPrefix(head, "Subject:")
	subject = clean(subject, false, 250)
	if !ok || !named || strings.Contains(head, "\n") || subject == "" {
		return "", nil, errors.New(`it begins with "Subject: …" and an empty line`)
	}
	w := &writer{}
	for line := range strings.Lines(body) {
		w.line(printable(strings.TrimSuffix(line, "\n")))
	}
	return subject, w.Bytes(), nil
}

// printable keeps the spaces of a line, and nothing that is not to be seen; a
// line that is too long for mail is cut (RFC 5322, section 2.1.1).
func printable(line string) string {
	line = strings.Map(func(c rune) rune {
		if c == '\t' {
			return ' '
		}
		if c == utf8.RuneError || unicode.IsControl(c) || unicode.In(c, unicode.Cf, unicode.Zl, unicode.Zp) {
			return '?'
		}
		return c
	}, line)
	if len(line) > 900 {
		line = line[:runeStart(line, 900)]
	}
	return strings.TrimRight(line, " ")
}
