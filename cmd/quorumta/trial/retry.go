package trial

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"quorumta/cmd/quorumta/console"
	"quorumta/cmd/quorumta/rules"
	"quorumta/delivery/retry"
	"quorumta/internal/admin/api"
	"quorumta/internal/config"
	"quorumta/internal/mail"
)

// retryCmd is Exim's -brt.
type retryCmd struct {
	Address string `arg:"" help:"The recipient: an address, or a domain."`
	Error   string `help:"What fails: rcpt_452, timeout_connect_MX, lost_connection, …; without it, any error that no rule names." default:"*"`
	Sender  string `help:"The sender; without it, the null reverse-path." placeholder:"ADDRESS"`
	Config  string `help:"The configuration." type:"existingfile" default:"/etc/quorumta/quorumta.yaml"`
	Limit   int    `help:"Attempts to list." default:"40"`
	JSON    bool   `help:"Print the stable form." name:"json"`
}

// retryPlan is the answer, in its stable form.
type retryPlan struct {
	Address string `json:"address"`
	Sender  string `json:"sender"`
	Error   string `json:"error"`
	// Rules are what each rule says, in order, to the one that decides.
	Rules []retry.Said `json:"rules"`
	// Rule is "" where no rule fits and the usual steps hold.
	Rule     string         `json:"rule"`
	Steps    []string       `json:"steps"`
	Attempts []retryAttempt `json:"attempts"`
	// FinalAfter is when a failure is the last; Warnings are when the sender is
	// told of the delay, both in seconds after the first failure.
	FinalAfter int64   `json:"final_after_s"`
	Warnings   []int64 `json:"warn_after_s"`
	Random     bool    `json:"random,omitempty"`
}

// retryAttempt is one try after the first failure.
type retryAttempt struct {
	At     api.Time `json:"at"`
	AfterS int64    `json:"after_s"`
	Step   string   `json:"step"`
}

// Run prints which rule is for the error, and when the attempts are.
func (c *retryCmd) Run(s console.Streams) error {
	f, err := config.Load(c.Config, "")
	if err != nil {
		return err
	}
	all, err := rules.Retry(f)
	if err != nil {
		return err
	}
	e, err := c.example()
	if err != nil {
		return err
	}
	plan := c.follow(all, e, time.Now().UTC().Truncate(time.Millisecond), rules.Warnings(f.DSN.WarnAfter))
	if c.JSON {
		return console.PrintJSON(s.Out, plan)
	}
	return c.tell(s, plan)
}

// example is the error that is asked about.
func (c *retryCmd) example() (retry.Error, error) {
	e, ok := retry.Example(c.Error)
	if !ok {
		return e, console.UsageError{Text: fmt.Sprintf("--error %s: no such error; %s are", c.Error, strings.Join(retry.PatternNames(), ", "))}
	}
	address := c.Address
	if !strings.Contains(address, "@") {
		address = "*@" + address
	}
	var err error
	if e.Recipient, err = mail.ParseAddress(address); err != nil {
		return e, console.UsageError{Text: fmt.Sprintf("%s: %v", c.Address, err)}
	}
	if c.Sender != "" {
		if e.Sender, err = mail.ParseAddress(c.Sender); err != nil {
			return e, console.UsageError{Text: fmt.Sprintf("--sender %s: %v", c.Sender, err)}
		}
	}
	return e, nil
}

// follow has the attempts fail, one after the other, from now on.
func (c *retryCmd) follow(all *retry.Rules, e retry.Error, now time.Time, warnings retry.Warnings) retryPlan {
	e.Now = now
	first := all.Plan(e)
	out := retryPlan{
		Address: e.Recipient.String(), Sender: e.Sender.String(), Error: c.Error, Rule: first.Rule,
		Rules: append([]retry.Said{}, all.Explain(e)...), Steps: []string{}, Attempts: []retryAttempt{}, Warnings: []int64{},
		FinalAfter: int64(first.Until.Sub(now) / time.Second),
	}
	for _, step := range first.Steps {
		out.Steps = append(out.Steps, step.String())
		out.Random = out.Random || step.Letter == 'H'
	}
	for p := first; !p.Expired && len(out.Attempts) < c.Limit; p = all.Plan(e) {
		out.Attempts = append(out.Attempts, retryAttempt{
			At: api.Time{Time: p.Due}, AfterS: int64(p.Due.Sub(now) / time.Second), Step: p.Steps[p.Step].String(),
		})
		e.Since, e.FirstFailed, e.Now = now, now, p.Due
	}
	if first.Warnings != nil {
		warnings = first.Warnings
	}
	for n := uint32(0); ; n++ {
		at, ok := warnings.Next(now, n)
		if !ok || at.After(first.Until) {
			return out
		}
		out.Warnings = append(out.Warnings, int64(at.Sub(now)/time.Second))
	}
}

func (c *retryCmd) tell(s console.Streams, p retryPlan) error {
	for _, r := range p.Rules {
		line := r.Rule + ": " + r.Verdict
		if r.Why != "" {
			line += ", " + r.Why
		}
		fmt.Fprintln(s.Out, line)
	}
	rule := "rule " + p.Rule
	if p.Rule == "" {
		rule = "no rule fits: the usual steps"
	}
	fmt.Fprintf(s.Out, "%s for %s: %s\n", rule, p.Error, strings.Join(p.Steps, ", "))
	if len(p.Steps) == 0 {
		_, err := fmt.Fprintln(s.Out, "the first failure is final")
		return err
	}
	w := tabwriter.NewWriter(s.Out, 0, 8, 2, ' ', 0)
	for _, a := range p.Attempts {
		fmt.Fprintf(w, "%s\tafter %s\t%s\n", a.At.Format(time.RFC3339), after(a.AfterS), a.Step)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if p.Random {
		fmt.Fprintln(s.Out, "steps H draw their intervals at random: these are one draw")
	}
	for _, at := range p.Warnings {
		fmt.Fprintf(s.Out, "the sender is told of the delay at the first attempt after %s\n", after(at))
	}
	_, err := fmt.Fprintf(s.Out, "a failure after %s is final\n", after(p.FinalAfter))
	return err
}

func after(seconds int64) time.Duration { return time.Duration(seconds) * time.Second }
