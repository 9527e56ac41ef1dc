package explain

import (
	"fmt"
	"strings"
)

// Lines are the trace for people. What belongs to a line is indented behind it.
func (t *Trace) Lines() []string {
	var lines []string
	add := func(format string, args ...any) {
		lines = append(lines, strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", " "))
	}
	for _, s := range t.Steps {
		line := s.Router + ": " + s.Verdict
		if s.Why != "" {
			line += ", " + s.Why
		}
		add("%s", line)
	}
	switch t.Result {
	case "fail", "defer":
		add("→ %ss: %s", t.Result, t.Reply)
	case "deliver":
		how := ""
		if t.TLS != "" {
			how = ", TLS: " + t.TLS
		}
		add("→ delivered by transport %s%s", t.Transport, how)
	}
	for i := range t.Hosts {
		h := &t.Hosts[i]
		add("    %s [%s]:%d group %d", h.Name, h.Address, h.Port, h.Group)
		if h.Bad != "" {
			add("        %s", h.Bad)
		}
		// Addresses of one host have the same said of them.
		if h.TLS != nil && (i == 0 || t.Hosts[i-1].Name != h.Name || t.Hosts[i-1].Port != h.Port) {
			verdict := "TLS is " + h.TLS.Needs
			if h.TLS.Refused != "" {
				verdict = "nothing may be sent: " + h.TLS.Refused
			}
			add("        %s; %s", verdict, strings.Join(h.TLS.Why, "; "))
		}
	}
	for i, line := range t.siteLines() {
		if i == 0 {
			add("site %s", t.Site)
		}
		add("    %s", line)
	}
	return lines
}

// siteLines are what holds for the site.
func (t *Trace) siteLines() (lines []string) {
	for _, x := range []struct{ name, text string }{
		{"leaves", strings.Join(t.Leaves, ", ")}, {"waits by", t.Order}, {"rests", t.Rests},
	} {
		if x.text != "" {
			lines = append(lines, x.name+" "+x.text)
		}
	}
	return append(lines, t.Limits...)
}
