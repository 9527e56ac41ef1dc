package messages

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"quorumta/cmd/quorumta/console"
	"quorumta/delivery/explain"
	"quorumta/internal/admin/api"
)

// waitsFor are the words for what a recipient waits for.
var waitsFor = map[string]string{
	"release":    "waits to be released",
	"answer":     "is being tried",
	"routing":    "is being routed",
	"site":       "waits for its site, which rests",
	"connection": "waits for a connection",
	"order":      "waits by an order",
	"host":       "waits for its host, which is known to be bad",
	"time":       "waits for its next attempt",
	"date":       "waits for the time that its sender wants it released at",
	"sweep":      "is due",
}

// tellWaits says of each open recipient what it waits for, why, and what comes
// next.
func tellWaits(out io.Writer, m *api.Message) error {
	for _, r := range m.Recipients {
		w := r.Waits
		if w == nil {
			continue
		}
		route, err := routeLines(r.Route)
		if err != nil {
			return err
		}
		words := waitsFor[w.For]
		if words == "" {
			words = "waits: " + w.For
		}
		if w.Why != "" {
			words += " (" + w.Why + ")"
		}
		lines := []string{words}
		if w.Until != nil {
			lines = append(lines, "next at "+at(w.Until))
		}
		if r.FirstFailed != nil {
			lines = append(lines, fmt.Sprintf("failed first %s and last %s: %s", at(r.FirstFailed), at(r.LastFailed), failed(r)))
		}
		if w.Expires != nil {
			rule := "no retry rule fits, the usual steps"
			if w.Rule != "" {
				rule = "retry rule " + w.Rule
			}
			if w.Step != "" {
				rule += ", step " + w.Step
			}
			lines = append(lines, rule+"; a failure is final from "+at(w.Expires))
		}
		if w.Warns != nil {
			lines = append(lines, "the sender is told of the delay at the first attempt after "+at(w.Warns))
		}
		lines = append(lines, route...)
		for i, line := range lines {
			begin := "<" + r.Address + "> "
			if i > 0 {
				begin = "    "
			}
			if _, err := fmt.Fprintln(out, begin+console.OneLine(line)); err != nil {
				return err
			}
		}
	}
	return nil
}

// routeLines are where a recipient's mail goes, for people.
func routeLines(raw json.RawMessage) ([]string, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	var t explain.Trace
	if err := json.Unmarshal(raw, &t); err != nil {
		return nil, fmt.Errorf("the route: %w", err)
	}
	return t.Lines(), nil
}

func at(t *api.Time) string { return t.Format(time.RFC3339) }

// failed is what failed, and where.
func failed(r api.Recipient) string {
	words := r.Error
	if r.Host != "" {
		words += " at " + r.Host
	}
	return strings.TrimSuffix(words+": "+r.Reply, ": ")
}
