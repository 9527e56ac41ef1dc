package main_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"quorumta/bench/load"
	"quorumta/bench/trial"
	"quorumta/internal/admin/api"
)

// What an operator suspends waits on all nodes, also after all were restarted,
// until it is resumed; who did it and why is on record.
func TestSuspendingOutlivesRestarts(t *testing.T) {
	tr := tryWith(t, binary, trial.Options{Nodes: 3})
	config := tr.Cluster.Nodes[0].Config
	waitFor(t, "the order to be taken", func(context.Context) bool { // the members must have told what they know
		_, _, status := command(t, "site", "suspend", "sink.example", "--domain", "--why", "their request", "--config", config)
		return status == 0
	})
	known := func(context.Context) bool {
		for _, n := range tr.Cluster.Nodes {
			var all api.Sites
			out, _, status := command(t, "site", "list", "--config", n.Config, "--json")
			if status != 0 {
				return false
			}
			decode(t, out, &all)
			if len(all.Orders) != 1 || all.Orders[0].Why != "their request" || all.Orders[0].Name != "sink.example" {
				return false
			}
		}
		return true
	}
	waitFor(t, "all nodes to know", known)
	ctx := t.Context()
	if _, err := tr.Load(ctx, load.Options{Sessions: 3, Count: 20}); err != nil {
		t.Fatal(err)
	}
	for _, n := range tr.Cluster.Nodes {
		bounded, cancel := context.WithTimeout(ctx, time.Minute)
		if err := n.Stop(bounded); err != nil {
			t.Fatal(err)
		}
		if err := n.Start(); err != nil {
			t.Fatal(err)
		}
		if err := n.WaitReady(bounded); err != nil {
			t.Fatal(err)
		}
		cancel()
	}
	waitFor(t, "all nodes to know again", known)
	if got := tr.Sink.Stats().Messages; got != 0 {
		t.Errorf("%d messages went out", got)
	}
	if out := must(t, "queue", "count", "--config", config, "--json"); !strings.Contains(out, `"due":20`) && !strings.Contains(out, `"due": 20`) {
		t.Errorf("not all are due: %s", out)
	}
	must(t, "site", "resume", "sink.example", "--domain", "--config", config)
	waitFor(t, "the mail to go", func(context.Context) bool { return tr.Sink.Stats().Messages == 20 })
	if out := must(t, "events", "--config", config); !strings.Contains(out, `"suspend/domain/sink.example"`) || !strings.Contains(out, "unnoted") {
		t.Error("nothing of it in the history")
	}
	if v := judge(t, tr); !v.OK() || v.SecondCopies > 0 {
		t.Errorf("%+v", v)
	}
	if _, _, status := command(t, "site", "suspend", "x", "--sender", "--login", "--config", config); status != 2 {
		t.Errorf("two subjects: status %d", status)
	}
}
