package config

import (
	"strings"
	"testing"
)

func TestSitesAreChecked(t *testing.T) {
	good := example + `
sites:
  - {name: big, if: '"mx.big.example" in site.hosts', connections: 10, per_node: 5, messages_per_minute: 100, messages_per_connection: 20}
  - {name: others, recipients_per_minute: 1000, recipients_per_message: 50, messages_per_hour: 5000}
  - {name: outgoing, if: 'site.address == "192.0.2.1"', per: address, messages_per_hour: 5000}
`
	f, err := Load(write(t, good), "")
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Sites) != 3 || f.Sites[0].PerNode != 5 || f.Sites[1].RecipientsPerMessage != 50 {
		t.Errorf("%+v", f.Sites)
	}
	for bad, want := range map[string]string{
		"{name: a, connections: -1}":                "a limit is a number above 0",
		"{name: a, connections: 2, per_node: 3}":    "more connections than all nodes together",
		"{name: a, if: 'sender.domain == \"x\"'}":   "sender",
		"{name: a, per: host}":                      "known here: site, address",
		"{name: a, conections: 2}":                  "connections",
		"{if: 'router == \"x\"', connections: 2}":   "name",
		"{name: a}\n  - {name: a}":                  "a",
		"{name: a, if: 'site.key', connections: 2}": "bool",
	} {
		_, err := Load(write(t, example+"\nsites:\n  - "+bad+"\n"), "")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
