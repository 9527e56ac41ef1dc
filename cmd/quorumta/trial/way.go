package trial

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"quorumta/cmd/quorumta/rules"
	"quorumta/delivery/explain"
	"quorumta/delivery/outgoing"
	"quorumta/delivery/retry"
	"quorumta/delivery/route"
	"quorumta/delivery/site"
	"quorumta/internal/config"
	"quorumta/internal/mail"
	"quorumta/internal/mail/header"
	"quorumta/internal/policy"
	"quorumta/internal/tlspolicy"
	"quorumta/internal/tlspolicy/mtasts"
)

// prospects are what would become of mail on its way out, and when it fails.
type prospects struct {
	// ReturnPath is the reverse-path that it goes out with, Signatures the domains
	// and selectors that sign it; Unprepared is why it could not go out now.
	ReturnPath string   `json:"return_path"`
	Signatures []string `json:"signatures,omitempty"`
	Unprepared string   `json:"unprepared,omitempty"`
	// Retry are the rules by which it is tried again, by what fails; * is what no
	// other rule is for.
	Retry []retried `json:"retry"`
}

// retried is a retry rule, and which errors it decides about.
type retried struct {
	Rule   string   `json:"rule"`
	Steps  []string `json:"steps"`
	Errors []string `json:"errors"`
}

// trace has the trial explain where mail goes.
func (t *trial) trace(f *config.File, log *slog.Logger) error {
	transports, err := rules.Transports(f)
	if err != nil {
		return err
	}
	sites := site.New(site.Options{})
	sites.SetTransports(transports)
	t.tracer = explain.Tracer{
		Router: t.table, TLS: &tlspolicy.Checker{Resolver: t.resolver, STS: mtasts.New(mtasts.Options{TXT: t.texts, Log: log})}, Now: time.Now,
		Leaving: func(x route.Target, f *policy.Facts) (route.Target, error) { return sites.Leaving(x, f, "") },
	}
	if t.tracer.Limits, err = rules.Sites(f, log); err != nil {
		return err
	}
	if t.retries, err = rules.Retry(f); err != nil {
		return err
	}
	// Its keys and secrets may be the relay's alone: routes are told without them.
	t.outgoing, t.unprepared = rules.Outgoing(f, rules.Keys(log), rules.Lookup(t.resolver))
	return nil
}

// texts asks for the records of MTA-STS.
func (t *trial) texts(ctx context.Context, name string) ([]string, error) {
	texts, _, err := t.resolver.LookupTXT(ctx, name)
	return texts, err
}

// prospects asks what would become of a message of the facts, from its sender;
// local: it is delivered here.
func (t *trial) prospects(ctx context.Context, q route.Request, said mail.Handling, local bool) *prospects {
	from := said.ReturnPath(q.Facts.Sender)
	p := &prospects{ReturnPath: from.String(), Retry: t.retry(q.Facts)}
	if t.unprepared != nil {
		p.Unprepared = t.unprepared.Error()
		return p
	}
	text := []byte("From: <" + q.Facts.Sender.String() + ">\r\n\r\n")
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil }
	forwarded := len(q.Ancestors) > 0 && q.Ancestors[len(q.Ancestors)-1].Address != q.Facts.Rcpt
	form, err := t.outgoing.Prepare(ctx, outgoing.Letter{
		Content: bytes.NewReader(text), Open: open, Size: int64(len(text)), Facts: q.Facts, From: from, Forwarded: forwarded, Delivers: local, Now: time.Now(),
	})
	if err != nil {
		p.Unprepared = err.Error()
		return p
	}
	defer form.Close()
	p.ReturnPath = form.From.String()
	h, err := header.Read(bufio.NewReader(form.Content), 1<<20)
	if err != nil {
		p.Unprepared = err.Error()
		return p
	}
	for _, f := range h {
		if f.Is("DKIM-Signature") || f.Is("ARC-Seal") {
			p.Signatures = append(p.Signatures, f.Name()+" "+signer(f.Text()))
		}
	}
	slices.Sort(p.Signatures)
	return p
}

// signer is the domain and the selector of a signature.
func signer(field string) string {
	var words []string
	for tag := range strings.SplitSeq(field, ";") {
		if tag = strings.TrimSpace(tag); strings.HasPrefix(tag, "d=") || strings.HasPrefix(tag, "s=") || strings.HasPrefix(tag, "a=") {
			words = append(words, tag)
		}
	}
	slices.Sort(words)
	return strings.Join(words, " ")
}

// retry is by which rule each kind of error is tried again.
func (t *trial) retry(f *policy.Facts) []retried {
	var list []retried
	for _, name := range retry.PatternNames() {
		e, ok := retry.Example(name)
		if !ok {
			continue // quota_<time>, which depends on the mailbox
		}
		e.Recipient, e.Sender, e.Now = f.Rcpt, f.Sender, time.Now()
		plan := t.retries.Plan(e)
		i := slices.IndexFunc(list, func(r retried) bool { return r.Rule == plan.Rule })
		if i < 0 {
			r := retried{Rule: plan.Rule, Steps: []string{}}
			for _, step := range plan.Steps {
				r.Steps = append(r.Steps, step.String())
			}
			i, list = len(list), append(list, r)
		}
		list[i].Errors = append(list[i].Errors, name)
	}
	for i := range list {
		if slices.Contains(list[i].Errors, "*") {
			list[i].Errors = []string{"*"}
		}
	}
	return list
}

// lines are the prospects for people.
func (p *prospects) lines() []string {
	lines := []string{"return path <" + p.ReturnPath + ">"}
	for _, s := range p.Signatures {
		lines = append(lines, "signed: "+s)
	}
	if p.Unprepared != "" {
		lines = append(lines, "cannot be prepared: "+p.Unprepared)
	}
	for _, r := range p.Retry {
		name, steps := "retry rule "+r.Rule, strings.Join(r.Steps, ", ")
		if r.Rule == "" {
			name = "no retry rule, the usual steps"
		}
		if steps == "" {
			steps = "the first failure is final"
		}
		lines = append(lines, fmt.Sprintf("%s for %s: %s", name, strings.Join(r.Errors, ", "), steps))
	}
	return lines
}
