package config

import (
	"os"
	"strconv"
)

// shippedLanguages are those that need no templates of one's own.
var shippedLanguages = []string{"en", "de"}

func (c *checker) dsn() {
	d := c.file.DSN
	c.ascending("dsn.warn_after", d.WarnAfter)
	c.report("dsn.warn_if", d.WarnIf)
	c.choice("dsn.return", d.Return, "headers", "full")
	c.choice("dsn.double_bounce", d.DoubleBounce, "postmaster", "discard", "freeze")
	languages := shippedLanguages
	if d.Templates != "" {
		entries, err := os.ReadDir(d.Templates)
		if err != nil {
			c.faultAt("dsn.templates", "cannot read the directory "+d.Templates, "paths are relative to the file")
		}
		for _, e := range entries {
			languages = append(languages[:len(languages):len(languages)], e.Name())
		}
	}
	names := map[string]bool{}
	for i, l := range d.Language {
		path := "dsn.language[" + strconv.Itoa(i) + "]"
		c.name(path, l.Name, names)
		c.report(path+".if", l.If)
		c.choice(path+".use", l.Use, languages...)
	}
	names = map[string]bool{}
	for i, s := range d.Suppress {
		path := "dsn.suppress[" + strconv.Itoa(i) + "]"
		c.name(path, s.Name, names)
		c.report(path+".if", s.If)
		if s.If == "" {
			c.faultAt(path, "a rule that suppresses all reports", "write if: and what it is about: no sender would ever learn that mail was lost")
		}
	}
}

// report compiles an expression about reports.
func (c *checker) report(path, expr string) {
	if c.file.env != nil {
		_, err := c.file.env.ReportCondition(expr)
		c.compiled(path, err)
	}
}
