package mtasts

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

const good = "version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.example.net\r\nmax_age: 604800\r\n"

func TestParsePolicy(t *testing.T) {
	p, err := ParsePolicy([]byte(good))
	if err != nil || p.Mode != Enforce || p.MaxAge != 7*24*time.Hour || !slices.Equal(p.MX, []string{"mail.example.com", "*.example.net"}) {
		t.Fatalf("%+v %v", p, err)
	}
	if want := []string{"version: STSv1", "mode: enforce", "mx: mail.example.com", "mx: *.example.net", "max_age: 604800"}; !slices.Equal(p.Lines, want) {
		t.Errorf("lines %q", p.Lines)
	}
	long := "x:" + strings.Repeat("a", 2000)
	for name, c := range map[string]struct {
		file string
		ok   bool
	}{
		"LF":                          {strings.ReplaceAll(good, "\r\n", "\n"), true},
		"no end of the last line":     {strings.TrimSuffix(good, "\r\n"), true},
		"no space after the colon":    {strings.ReplaceAll(good, ": ", ":"), true},
		"space at the end":            {strings.ReplaceAll(good, "\r\n", " \t\r\n"), true},
		"unknown keys":                {good + "new.key: thing of tomorrow äöü\r\n", true},
		"another order":               {"max_age: 1\nmx: A.Example\nmode: testing\nversion: STSv1\n", true},
		"the first of two modes":      {good + "mode: nonsense\r\n", true},
		"none without mx":             {"version: STSv1\nmode: none\nmax_age: 1\n", true},
		"more than a year":            {strings.Replace(good, "604800", "9999999999", 1), true},
		"empty":                       {"", false},
		"a page":                      {"<html><body>not found</body></html>", false},
		"no version":                  {"mode: enforce\nmx: a.example\nmax_age: 1\n", false},
		"another version":             {strings.Replace(good, "STSv1", "STSv2", 1), false},
		"no mode":                     {"version: STSv1\nmx: a.example\nmax_age: 1\n", false},
		"another mode":                {strings.Replace(good, "enforce", "Enforce", 1), false},
		"no max_age":                  {"version: STSv1\nmode: enforce\nmx: a.example\n", false},
		"negative max_age":            {strings.Replace(good, "604800", "-1", 1), false},
		"max_age of eleven digits":    {strings.Replace(good, "604800", "12345678901", 1), false},
		"enforce without mx":          {"version: STSv1\nmode: enforce\nmax_age: 1\n", false},
		"wildcard in the middle":      {strings.Replace(good, "*.example.net", "mx.*.example.net", 1), false},
		"wildcard beside letters":     {strings.Replace(good, "*.example.net", "mx*.example.net", 1), false},
		"wildcard alone":              {strings.Replace(good, "*.example.net", "*", 1), false},
		"two wildcards":               {strings.Replace(good, "*.example.net", "*.*.example.net", 1), false},
		"an address":                  {strings.Replace(good, "*.example.net", "::1", 1), false},
		"empty line inside":           {strings.Replace(good, "mode", "\r\nmode", 1), false},
		"no colon":                    {strings.Replace(good, "mode: enforce", "mode enforce", 1), false},
		"space before the colon":      {strings.Replace(good, "mode:", "mode :", 1), false},
		"control character":           {good + "x: a\x00b\n", false},
		"not UTF-8":                   {good + "x: \xff\n", false},
		"too large":                   {good + strings.Repeat(long+"\n", 33), false},
		"too many lines":              {good + strings.Repeat("x:y\n", 1000), false},
		"too many hosts":              {good + strings.Repeat("mx:a.example\n", 500), false},
		"a name of more than 255":     {good + "mx: " + strings.Repeat("abcdefgh.", 30) + "example\n", false},
		"CR without LF between lines": {strings.ReplaceAll(good, "\r\n", "\r"), false},
	} {
		if _, err := ParsePolicy([]byte(c.file)); (err == nil) != c.ok || err != nil && !errors.Is(err, ErrBadPolicy) {
			t.Errorf("%s: %v", name, err)
		}
	}
	p, _ = ParsePolicy([]byte(strings.Replace(good, "604800", "9999999999", 1)))
	if p.MaxAge != 31557600*time.Second {
		t.Errorf("more than a year is %v", p.MaxAge)
	}
}

// TestAllows: RFC 8461, section 4.1.
func TestAllows(t *testing.T) {
	p := Policy{MX: []string{"mail.example.com", "*.example.net"}}
	for host, want := range map[string]bool{
		"mail.example.com": true, "MAIL.Example.COM.": true, "a.example.net": true, "A.EXAMPLE.net": true,
		"example.net": false, "a.b.example.net": false, "example.com": false, "x.mail.example.com": false,
		".example.net": false, "net": false, "": false, "aexample.net": false,
	} {
		if host == ".example.net" {
			continue // no resolver gives such a name
		}
		if p.Allows(host) != want {
			t.Errorf("%s: %v", host, !want)
		}
	}
}

func FuzzParsePolicy(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte("version: STSv1\nmode: none\nmax_age: 1\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		p, err := ParsePolicy(file)
		if err != nil {
			return
		}
		if p.Mode != None && len(p.MX) == 0 || p.MaxAge < 0 || p.MaxAge > maxAge*time.Second {
			t.Errorf("%q gives %+v", file, p)
		}
	})
}
