package trial

import (
	"fmt"

	"quorumta/cmd/quorumta/console"
	"quorumta/internal/config"
	"quorumta/internal/mail"
)

// expressionCmd is Exim's -be.
type expressionCmd struct {
	Expression string `arg:"" help:"A condition, or an expression whose result is a text."`
	Rcpt       string `help:"The recipient." placeholder:"ADDRESS"`
	who
	Config string `help:"The configuration, for nets and lists." type:"existingfile" default:"/etc/quorumta/quorumta.yaml"`
	JSON   bool   `help:"Print the stable form." name:"json"`
}

// Run prints true, false or the text.
func (c *expressionCmd) Run(s console.Streams) error {
	to, err := mail.ParseAddress(c.Rcpt)
	if err != nil {
		return console.UsageError{Text: fmt.Sprintf("--rcpt %s: %v", c.Rcpt, err)}
	}
	facts, err := c.facts(to)
	if err != nil {
		return err
	}
	f, err := config.Load(c.Config, "")
	if err != nil {
		return err
	}
	var result any
	condition, wrong := f.Env().Condition(c.Expression, config.RouterConditions()...)
	if wrong == nil {
		result, err = condition.Eval(facts)
	} else if text, other := f.Env().Text(c.Expression, config.RouterConditions()...); other == nil {
		result, err = text.Eval(facts)
	} else {
		return wrong
	}
	if err != nil {
		return err
	}
	if c.JSON {
		return console.PrintJSON(s.Out, map[string]any{"result": result})
	}
	_, err = fmt.Fprintln(s.Out, result)
	return err
}
