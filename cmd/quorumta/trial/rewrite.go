package trial

import (
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"quorumta/cmd/quorumta/console"
	"quorumta/cmd/quorumta/rules"
	"quorumta/internal/config"
	"quorumta/internal/mail"
	"quorumta/internal/rewrite"
)

// rewriteCmd is Exim's -brw.
type rewriteCmd struct {
	Address string `arg:"" help:"The address."`
	In      string `help:"One place alone: from, sender, reply_to, to, cc, bcc, envelope_from, envelope_to or smtp." placeholder:"PLACE"`
	UTF8    bool   `help:"As in a message that was sent with SMTPUTF8." name:"utf8"`
	who
	Config string `help:"The configuration." type:"existingfile" default:"/etc/quorumta/quorumta.yaml"`
	JSON   bool   `help:"Print the stable form." name:"json"`
}

// rewritten is what becomes of the address in one place, in its stable form.
type rewritten struct {
	In     string `json:"in"`
	Result string `json:"result"`
	// Phrase is the display name that takes the place of the one in the header.
	Phrase *string `json:"phrase,omitempty"`
	// Steps are the rules that fitted, in order.
	Steps []rewriteStep `json:"steps"`
	// Error is why mail would wait.
	Error string `json:"error,omitempty"`
}

type rewriteStep struct {
	Rule   string `json:"rule"`
	Result string `json:"result"`
}

// Run prints the result for each place, and the rules that fitted.
func (c *rewriteCmd) Run(s console.Streams) error {
	a, err := mail.ParseAddress(c.Address)
	if err != nil || a.Domain == "" {
		return console.UsageError{Text: c.Address + " is not an address with a domain"}
	}
	f, err := config.Load(c.Config, "")
	if err != nil {
		return err
	}
	all, err := rules.Rewrites(f)
	if err != nil {
		return err
	}
	list, err := c.places(all, a)
	if err != nil {
		return err
	}
	if c.JSON {
		return console.PrintJSON(s.Out, map[string]any{"address": a.String(), "places": list})
	}
	return tellRewritten(s, list)
}

// places asks the rules for each place.
func (c *rewriteCmd) places(all rewrite.Rules, a mail.Address) ([]rewritten, error) {
	facts, err := c.facts(mail.Address{})
	if err != nil {
		return nil, err
	}
	var list []rewritten
	var names []string
	for _, p := range rewrite.Places() {
		names = append(names, p.Name)
		if c.In != "" && c.In != p.Name {
			continue
		}
		out := rewritten{In: p.Name, Result: a.String(), Steps: []rewriteStep{}}
		steps, err := all.Rewrite(facts, a, p.Place, c.UTF8)
		var unusable *rewrite.Error
		switch {
		case errors.As(err, &unusable):
			out.Error = err.Error()
		case err != nil:
			return nil, err
		}
		for _, step := range steps {
			out.Steps = append(out.Steps, rewriteStep{Rule: step.Rule, Result: shown(step.Address)})
			out.Result = shown(step.Address)
			if step.Phrase != nil && p.Place&rewrite.Headers != 0 {
				out.Phrase = step.Phrase
			}
		}
		list = append(list, out)
	}
	if len(list) == 0 {
		return nil, console.UsageError{Text: fmt.Sprintf("--in %s: there is no such place; %s are", c.In, strings.Join(names, ", "))}
	}
	return list, nil
}

// shown is an address as it is written, the null one too.
func shown(a mail.Address) string {
	if a.IsNull() {
		return "<>"
	}
	return a.String()
}

func tellRewritten(s console.Streams, list []rewritten) error {
	w := tabwriter.NewWriter(s.Out, 0, 8, 2, ' ', 0)
	for _, r := range list {
		result := r.Result
		switch {
		case r.Error != "":
			result = "waits: 4.3.5 " + r.Error
		case r.Phrase != nil:
			result = fmt.Sprintf("%q <%s>", *r.Phrase, r.Result)
		}
		var by []string
		for _, step := range r.Steps {
			by = append(by, fmt.Sprintf("%s: %s", step.Rule, step.Result))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", r.In, result, strings.Join(by, ", "))
	}
	return w.Flush()
}
