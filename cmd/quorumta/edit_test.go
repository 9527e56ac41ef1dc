package main_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"quorumta/bench/proc"
	"quorumta/smtp/smtptest"
)

// TestRecipientsAreEdited: a message waits for a host that is not there; an
// operator adds, drops and replaces recipients, and sends it to Postfix instead.
// All of it is on record.
func TestRecipientsAreEdited(t *testing.T) {
	server := smtptest.Postfix(t, "")
	c := started(t, proc.Options{Nodes: 3, Edit: func(_ string, config []byte) []byte {
		return routing.ReplaceAllLiteral(config, []byte("routers:\n  - {name: dead, hosts: [\"127.0.0.1:9\"]}\n"))
	}})
	if err := submit(c.Nodes[0].SMTP, "me@us.example", "a@them.example", "Subject: edited\r\n\r\nx\r\n"); err != nil {
		t.Fatal(err)
	}
	config := []string{"--config", c.Nodes[1].Config}
	queue := func(args ...string) string {
		t.Helper()
		return must(t, append(append([]string{"queue"}, args...), config...)...)
	}
	var id string
	waitFor(t, "the message to wait", func(context.Context) bool {
		var page struct{ Messages []struct{ ID string } }
		if err := json.Unmarshal([]byte(queue("list", "--state", "deferred", "--json")), &page); err != nil || len(page.Messages) != 1 {
			return false
		}
		id = page.Messages[0].ID
		return true
	})
	waitFor(t, "what the members know to be found out", func(context.Context) bool {
		_, said, status := command(t, append([]string{"queue", "edit", id, "--add", "b@them.example", "--add", "c@them.example", "--why", "they asked"}, config...)...)
		if status != 0 && !strings.Contains(said, "not all members know") {
			t.Fatal(said)
		}
		return status == 0
	})
	queue("edit", id, "--add", "b@them.example") // has it already
	queue("edit", id, "--drop", "c@them.example", "--replace", "a@them.example=new=a@them.example", "--why", "left")
	edit := func(status int, words string, args ...string) {
		t.Helper()
		refused(t, status, words, append(append([]string{"queue"}, args...), config...)...)
	}
	edit(1, "<c@them.example> is no open recipient", "edit", id, "--drop", "c@them.example")
	edit(2, "OLD=NEW", "edit", id, "--replace", "b@them.example")
	edit(2, "say whom", "edit", id)
	edit(2, "--host nobody:x", "reroute", id, "--host", "nobody:x")
	edit(1, "no such message", "edit", "000"+id[3:], "--drop", "b@them.example")
	queue("reroute", id, "--host", server.Address, "--why", "the host is gone")
	queue("retry", id)
	var to []string
	for _, text := range server.Arrivals(t, 2) {
		for line := range strings.Lines(text) {
			if rest, ok := strings.CutPrefix(line, "Delivered-To: "); ok {
				to = append(to, strings.TrimSpace(rest))
			}
		}
	}
	slices.Sort(to)
	if want := []string{"b@them.example", "new=a@them.example"}; !slices.Equal(to, want) {
		t.Errorf("it arrived for %q, want %q", to, want)
	}
	waitFor(t, "the queue to be empty", func(ctx context.Context) bool {
		var count proc.Count
		return c.Query(ctx, &count, "queue", "count") == nil && count.Total == 0
	})
	checkEdited(t, must(t, append([]string{"events", "--id", id}, config...)...))
}

// checkEdited looks for each change in the history.
func checkEdited(t *testing.T, history string) {
	t.Helper()
	var got []string
	for line := range strings.Lines(history) {
		var e struct {
			Event, Recipient, By, Why string
			Into, Hosts               []string
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		switch e.Event {
		case "edited", "rerouted":
			if e.By == "" {
				t.Errorf("nobody is named: %s", line)
			}
			got = append(got, strings.Join([]string{e.Event, e.Recipient, strings.Join(e.Into, ","), e.Why}, "|"))
		case "delivered":
			got = append(got, "delivered|"+e.Recipient)
		}
	}
	slices.Sort(got)
	want := []string{
		"delivered|b@them.example", "delivered|new=a@them.example",
		"edited|a@them.example|new=a@them.example|left", "edited|c@them.example||left",
		"edited||b@them.example|they asked", "edited||c@them.example|they asked", "rerouted|||the host is gone",
	}
	if !slices.Equal(got, want) {
		t.Errorf("on record:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
