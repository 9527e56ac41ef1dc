package tlsrpt

import (
	"errors"
	"fmt"
	"net/mail"
	"net/url"
	"regexp"
	"strings"
)

// ErrNoRecord: the domain asks for no reports, or in a way that cannot be read,
// or twice, which both count as none (RFC 8460, section 3).
var ErrNoRecord = errors.New("no TLSRPT record")

var (
	extensionName  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$`)
	extensionValue = regexp.MustCompile(`^[\x21-\x3A\x3C\x3E-\x7E]+$`)
)

// mostURIs is how many places of one record are served.
const mostURIs = 4

// Record is where a domain wants its reports.
type Record struct {
	// Mail are addresses, HTTPS are URLs to post to; one of them at least.
	Mail, HTTPS []string
}

// ParseRecord reads the TXT records of _smtp._tls.DOMAIN, each with its
// strings joined (RFC 8460, section 3).
func ParseRecord(texts []string) (Record, error) {
	var fields []string
	n := 0
	for _, text := range texts {
		if rest, ok := strings.CutPrefix(text, "v=TLSRPTv1"); ok && strings.HasPrefix(strings.TrimLeft(rest, " \t"), ";") {
			fields = strings.Split(rest, ";")[1:]
			n++
		}
	}
	if n != 1 {
		return Record{}, fmt.Errorf("%w (%d found)", ErrNoRecord, n)
	}
	if last := len(fields) - 1; strings.Trim(fields[last], " \t") == "" {
		fields = fields[:last]
	}
	var r Record
	seen := false
	for _, field := range fields {
		name, value, ok := strings.Cut(strings.Trim(field, " \t"), "=")
		switch {
		case !ok:
			return Record{}, fmt.Errorf("%w: field %.40q", ErrNoRecord, field)
		case name == "rua" && !seen:
			seen = true
			if err := r.places(value); err != nil {
				return Record{}, err
			}
		case name != "rua" && (!extensionName.MatchString(name) || !extensionValue.MatchString(value)):
			return Record{}, fmt.Errorf("%w: field %.40q", ErrNoRecord, field)
		}
	}
	if len(r.Mail)+len(r.HTTPS) == 0 {
		return Record{}, fmt.Errorf("%w: it names no place that reports can go to", ErrNoRecord)
	}
	return r, nil
}

// places reads the value of rua. Schemes that nobody here serves are passed
// over, as are places beyond the first few.
func (r *Record) places(value string) error {
	for text := range strings.SplitSeq(value, ",") {
		u, err := url.Parse(strings.Trim(text, " \t"))
		if err != nil || u.Scheme == "" {
			return fmt.Errorf("%w: place %.60q", ErrNoRecord, text)
		}
		if len(r.Mail)+len(r.HTTPS) == mostURIs {
			continue
		}
		switch u.Scheme {
		case "mailto":
			address, err := url.PathUnescape(u.Opaque)
			if err != nil {
				return fmt.Errorf("%w: place %.60q", ErrNoRecord, text)
			}
			parsed, err := mail.ParseAddress("<" + address + ">")
			if err != nil || strings.ContainsAny(address, "<>\r\n") {
				return fmt.Errorf("%w: place %.60q", ErrNoRecord, text)
			}
			r.Mail = append(r.Mail, parsed.Address)
		case "https":
			if u.Host == "" {
				return fmt.Errorf("%w: place %.60q", ErrNoRecord, text)
			}
			r.HTTPS = append(r.HTTPS, u.String())
		}
	}
	return nil
}
