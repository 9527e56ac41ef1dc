package config

import (
	"os"
	"strconv"
)

// DSN are the settings of delivery reports.
type DSN struct {
	// WarnAfter are the ages at which a sender is told of a delay; nil: never.
	WarnAfter []Duration `yaml:"warn_after"`
	// WarnIf is when it is; "" means of what is not bulk mail.
	WarnIf string `yaml:"warn_if"`
	// Return is headers or full: what is returned where the sender did not say.
	Return string `yaml:"return"`
	// MaxBody is the largest message that is returned whole.
	MaxBody Size `yaml:"max_body"`
	// Templates is a directory with words of reports; "" means the program's.
	Templates string `yaml:"templates"`
	// Language chooses words by rules.
	Language []Language `yaml:"language"`
	// CopyTo gets a copy of the reports of failures.
	CopyTo Address `yaml:"copy_to"`
	// DoubleBounce is postmaster or discard: what becomes of a message that
	// fails and has no sender.
	DoubleBounce string `yaml:"double_bounce"`
	// Suppress are reasons not to make a report.
	Suppress []Suppress `yaml:"suppress"`
}

// Language chooses the words of a report.
type Language struct {
	Name string `yaml:"name"`
	If   string `yaml:"if"`
	// Use is a directory of Templates, or a language that the program knows.
	Use string `yaml:"use"`
}

// Suppress is a reason not to make a report.
type Suppress struct {
	Name string `yaml:"name"`
	If   string `yaml:"if"`
}

// shippedLanguages are those that need no templates of one's own.
var shippedLanguages = []string{"en", "de"}

func (c *checker) dsn() {
	d := c.file.DSN
	c.ascending("dsn.warn_after", d.WarnAfter)
	c.report("dsn.warn_if", d.WarnIf)
	c.choice("dsn.return", d.Return, "headers", "full")
	c.choice("dsn.double_bounce", d.DoubleBounce, "postmaster", "discard")
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
