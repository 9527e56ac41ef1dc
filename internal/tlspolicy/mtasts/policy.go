package mtasts

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Mode is what a policy asks of senders (RFC 8461, section 5).
type Mode string

// The modes.
const (
	// Enforce: nothing is delivered to a host that does not match, or over a
	// connection that is not authenticated.
	Enforce Mode = "enforce"
	// Testing: what Enforce would refuse is reported and delivered.
	Testing Mode = "testing"
	// None: the domain has given its policy up.
	None Mode = "none"
)

// Policy is a domain's (RFC 8461, section 3.2).
type Policy struct {
	Mode Mode
	// MX are names of mail hosts in lower case; one may begin with "*.", which
	// stands for exactly one label.
	MX []string
	// MaxAge is how long the policy may be remembered.
	MaxAge time.Duration
	// Lines are those of the file, for reports (RFC 8460, section 4.4).
	Lines []string
}

// The bounds of what is read. Those of the file and of max_age are the RFC's
// (sections 3.2 and 3.3), the other two ours.
const (
	maxFile   = 64 << 10
	maxAge    = 31557600 // seconds
	maxLines  = 1000
	maxHosts  = 500
	wordLabel = `[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?`
)

var (
	digits  = regexp.MustCompile(`^[0-9]{1,10}$`)
	pattern = regexp.MustCompile(`^(\*\.)?` + wordLabel + `(\.` + wordLabel + `)*$`)
)

// ErrBadPolicy: the file is not a policy that can be used.
var ErrBadPolicy = errors.New("MTA-STS policy is invalid")

// ParsePolicy reads a policy file. Keys that this version does not know are
// ignored, of a key that must stand once the first counts (RFC 8461, section
// 3.2).
func ParsePolicy(file []byte) (Policy, error) {
	p := Policy{}
	if len(file) > maxFile {
		return p, fmt.Errorf("%w: it has more than %d bytes", ErrBadPolicy, maxFile)
	}
	if !utf8.Valid(file) {
		return p, fmt.Errorf("%w: it is not UTF-8", ErrBadPolicy)
	}
	seen := map[string]bool{}
	lines := strings.Split(strings.TrimRight(string(file), " \t\r\n"), "\n")
	if len(lines) > maxLines {
		return p, fmt.Errorf("%w: it has more than %d lines", ErrBadPolicy, maxLines)
	}
	for i, line := range lines {
		line = strings.TrimRight(strings.TrimSuffix(line, "\r"), " \t")
		key, value, ok := strings.Cut(line, ":")
		value = strings.TrimLeft(value, " \t")
		if !ok || !fieldName.MatchString(key) || value == "" || strings.ContainsFunc(value, control) {
			return p, fmt.Errorf("%w: line %d is no pair of key and value: %.60q", ErrBadPolicy, i+1, line)
		}
		p.Lines = append(p.Lines, line)
		if seen[key] && key != "mx" {
			continue
		}
		seen[key] = true
		if err := p.set(key, value); err != nil {
			return p, fmt.Errorf("%w: line %d: %w", ErrBadPolicy, i+1, err)
		}
	}
	for _, key := range []string{"version", "mode", "max_age"} {
		if !seen[key] {
			return p, fmt.Errorf("%w: %s is missing", ErrBadPolicy, key)
		}
	}
	if p.Mode != None && len(p.MX) == 0 {
		return p, fmt.Errorf("%w: mx is missing", ErrBadPolicy)
	}
	return p, nil
}

// set takes a pair over; the error says what is wrong with the value.
func (p *Policy) set(key, value string) error {
	switch key {
	case "version":
		if value != "STSv1" {
			return fmt.Errorf("version %.40q is not known", value)
		}
	case "mode":
		p.Mode = Mode(value)
		if !slices.Contains([]Mode{Enforce, Testing, None}, p.Mode) {
			return fmt.Errorf("mode %.40q is not known", value)
		}
	case "max_age":
		seconds, err := strconv.ParseInt(value, 10, 64)
		if !digits.MatchString(value) || err != nil {
			return fmt.Errorf("max_age %.40q is no number of seconds", value)
		}
		// More than a year is read as a year: to refuse it would leave the
		// domain without protection.
		p.MaxAge = time.Duration(min(seconds, maxAge)) * time.Second
	case "mx":
		name := strings.ToLower(strings.TrimSuffix(value, "."))
		switch {
		case !pattern.MatchString(name) || len(name) > 255:
			return fmt.Errorf("mx %.60q is no name of a host", value)
		case len(p.MX) == maxHosts:
			return fmt.Errorf("more than %d mx", maxHosts)
		}
		p.MX = append(p.MX, name)
	}
	return nil
}

func control(r rune) bool { return r < ' ' || r == 0x7f }

// Allows reports whether a mail host matches: its name is listed, or all of it
// but the left-most label is behind a "*." (RFC 8461, section 4.1).
func (p Policy) Allows(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	_, parent, dotted := strings.Cut(host, ".")
	for _, mx := range p.MX {
		if rest, wild := strings.CutPrefix(mx, "*."); wild {
			if dotted && rest == parent {
				return true
			}
		} else if mx == host {
			return true
		}
	}
	return false
}
