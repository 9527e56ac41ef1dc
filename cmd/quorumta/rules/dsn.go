package rules

import (
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"quorumta/delivery/dsn"
	"quorumta/internal/config"
	"quorumta/internal/mail"
)

// Reports compiles what a file says of delivery reports. The error is a
// config.Faults where it is the operator's.
func Reports(f *config.File, log *slog.Logger) (*dsn.Builder, error) {
	d := f.DSN
	b := &dsn.Builder{
		Hostname: f.Hostname, Postmaster: mail.Address(f.Postmaster), MaxBody: int64(d.MaxBody), Return: mail.ReturnHeaders,
		Copy: mail.Address(d.CopyTo), DoubleBounces: d.DoubleBounce == "postmaster", Log: log,
	}
	if d.Return == "full" {
		b.Return = mail.ReturnFull
	}
	var dir fs.FS
	if d.Templates != "" {
		dir = os.DirFS(d.Templates)
	}
	var err error
	if b.Templates, err = dsn.NewTemplates(dir); err != nil {
		return nil, f.Fault("dsn.templates", err.Error())
	}
	if d.WarnIf != "" {
		if b.Rules.WarnIf, err = f.Env().ReportCondition(d.WarnIf); err != nil {
			return nil, fmt.Errorf("dsn.warn_if: %w", err)
		}
	}
	for _, l := range d.Language {
		rule := dsn.Rule{Name: l.Name, Use: l.Use}
		if rule.If, err = f.Env().ReportCondition(l.If); err != nil {
			return nil, fmt.Errorf("dsn.language %s: %w", l.Name, err)
		}
		b.Rules.Languages = append(b.Rules.Languages, rule)
	}
	for _, s := range d.Suppress {
		rule := dsn.Rule{Name: s.Name}
		if rule.If, err = f.Env().ReportCondition(s.If); err != nil {
			return nil, fmt.Errorf("dsn.suppress %s: %w", s.Name, err)
		}
		b.Rules.Suppress = append(b.Rules.Suppress, rule)
	}
	return b, nil
}
