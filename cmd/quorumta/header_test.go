package main_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"quorumta/bench/proc"
	"quorumta/smtp/smtptest"
)

// TestRoutesByTheHeader: what has a field goes to Postfix, small or in many
// parts, all else to nobody.
func TestRoutesByTheHeader(t *testing.T) {
	server := smtptest.Postfix(t, "")
	rows := `transports:
  - {name: nowhere, discard: {}}
routers:
  - {name: sales, if: 'header["X-Team"] == "sales"', hosts: ["` + server.Address + `"]}
  - {name: rest, accept: nowhere}
`
	c := started(t, proc.Options{Nodes: 1, Edit: func(_ string, config []byte) []byte { return routing.ReplaceAllLiteral(config, []byte(rows)) }})
	large := strings.Repeat(strings.Repeat("0123456789", 7)+"\r\n", 10_000)
	for _, text := range []string{
		"X-Team: sales\r\nSubject: one\r\n\r\nx\r\n", "Subject: two\r\nx-team:\r\n sales\r\n\r\n" + large,
		"Subject: three\r\n\r\nX-Team: sales\r\n", "X-Team: support\r\nSubject: four\r\n\r\nx\r\n",
	} {
		if err := submit(c.Nodes[0].SMTP, "me@us.example", "a@them.example", text); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, "the queue to be empty", func(ctx context.Context) bool {
		var count proc.Count
		return c.Query(ctx, &count, "queue", "count") == nil && count.Total == 0
	})
	var got []string
	for _, text := range server.Arrivals(t, 2) {
		for _, subject := range []string{"one", "two", "three", "four"} {
			if strings.Contains(text, "Subject: "+subject+"\n") {
				got = append(got, subject)
			}
		}
	}
	if len(got) != 2 || !strings.Contains("one two one", strings.Join(got, " ")) {
		t.Errorf("Postfix has got %q", got)
	}
	var answer struct{ Router string }
	out := must(t, "test", "address", "a@them.example", "--header", "X-Team: sales", "--config", c.Nodes[0].Config, "--json")
	if err := json.Unmarshal([]byte(out), &answer); err != nil || answer.Router != "sales" {
		t.Errorf("test address says %s: %v", out, err)
	}
}
