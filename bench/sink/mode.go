package sink

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// Action is what the sink does with what comes.
type Action string

// The actions.
const (
	// Accept takes every message.
	Accept Action = "accept"
	// Defer answers 451.
	Defer Action = "defer"
	// Reject answers 550 or 554.
	Reject Action = "reject"
	// Close reads the whole message and closes without an answer.
	Close Action = "close"
	// Silent takes connections and answers nothing, not even a greeting.
	Silent Action = "silent"
	// Refuse closes the listener and every connection.
	Refuse Action = "refuse"
)

// The stages at which Defer and Reject strike.
const (
	AtRcpt = "rcpt"
	AtDot  = "dot"
)

// Mode is how the sink behaves. The zero Mode accepts everything.
type Mode struct {
	// Action; "" means Accept.
	Action Action `json:"action"`
	// Percent of messages (of recipients, at RCPT) that Defer, Reject and
	// Close strike; the rest is accepted. 0 means all.
	Percent int `json:"percent,omitempty"`
	// Stage is AtRcpt or AtDot, for Defer and Reject; "" means AtDot.
	Stage string `json:"stage,omitempty"`
	// Count makes Close count the message, as a server that has taken it and
	// whose answer was lost.
	Count bool `json:"count,omitempty"`
	// Delay passes before the reply to the final dot.
	Delay Duration `json:"delay,omitempty"`
	// DropEvery, if not 0, answers 250 to one message in so many and does not
	// count it: mail lost on purpose, to see a verdict fail.
	DropEvery int64 `json:"drop_every,omitempty"`
}

// Duration is a time.Duration written as "250ms".
type Duration time.Duration

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	*d = Duration(v)
	return err
}

func (m Mode) check() error {
	switch m.Action {
	case "", Accept, Defer, Reject, Close, Silent, Refuse:
	default:
		return fmt.Errorf("action %q: accept, defer, reject, close, silent or refuse is expected", m.Action)
	}
	if m.Stage != "" && m.Stage != AtRcpt && m.Stage != AtDot {
		return fmt.Errorf("stage %q: rcpt or dot is expected", m.Stage)
	}
	if m.Percent < 0 || m.Percent > 100 || m.DropEvery < 0 || m.Delay < 0 {
		return fmt.Errorf("percent %d, drop_every %d, delay %s: out of range", m.Percent, m.DropEvery, time.Duration(m.Delay))
	}
	return nil
}

// strikes reports whether the action, if it is a, hits this message.
func (m Mode) strikes(a Action) bool {
	return m.Action == a && (m.Percent == 0 || rand.IntN(100) < m.Percent)
}

// at reports whether Defer and Reject strike at the stage.
func (m Mode) at(stage string) bool {
	return m.Stage == stage || (m.Stage == "" && stage == AtDot)
}
