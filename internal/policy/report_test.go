package policy

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"quorumta/internal/mail"
)

func TestReportConditions(t *testing.T) {
	env, err := NewEnv(map[string][]netip.Prefix{"app": {netip.MustParsePrefix("10.0.0.0/8")}}, map[string][]string{"ours": {"corp.example"}})
	if err != nil {
		t.Fatal(err)
	}
	f := &ReportFacts{
		Facts: Facts{
			ClientIP: netip.MustParseAddr("10.1.2.3"), Login: "app", Sender: mail.Address{Local: "s", Domain: "corp.example"},
			Rcpt: mail.Address{Local: "r", Domain: "far.example"}, Size: 7,
		},
		Age: 5 * time.Hour, Header: map[string]string{"precedence": "Bulk", "x-spam": "yes"},
		Report: "failure", Error: "recipient", Code: 550, Text: "no such user",
	}
	for expr, want := range map[string]bool{
		"":             true,
		"message.bulk": true,
		`client.ip in nets.app && sender.domain in lists.ours && client.login == "app"`:         true,
		`report == "failure" && error == "recipient" && reply.code == 550 && message.size == 7`: true,
		`"x-spam" in header && header["x-spam"] == "yes" && message.age > duration("4h")`:       true,
		`"list-id" in header || reply.text.contains("spam") || rcpt.address != "r@far.example"`: false,
	} {
		c, err := env.ReportCondition(expr)
		if err != nil {
			t.Fatalf("%s: %v", expr, err)
		}
		if got, err := c.Eval(f); err != nil || got != want {
			t.Errorf("%s: %v, %v", expr, got, err)
		}
	}
	c, err := env.ReportCondition(`header["subject"] == "x"`)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Eval(f); err == nil {
		t.Error("a field that is not there is taken for something")
	}
	if _, err := env.ReportCondition("client.tls"); err == nil || !strings.Contains(err.Error(), "client.tls") {
		t.Errorf("got %v", err)
	}
	if got, err := (*ReportCondition)(nil).Eval(f); !got || err != nil {
		t.Error("nil is not always true")
	}
}

func TestBulk(t *testing.T) {
	for field, want := range map[string]bool{
		"list-id: <x>": true, "list-unsubscribe: <mailto:x>": true, "precedence: LIST": true, "precedence: junk": true, "auto-submitted: auto-replied": true,
		"auto-submitted: no": false, "precedence: first-class": false, "subject: list": false, "list-id:": false,
	} {
		name, value, _ := strings.Cut(field, ":")
		f := &ReportFacts{Header: map[string]string{name: strings.TrimSpace(value)}}
		if got := f.Bulk(); got != want {
			t.Errorf("%s: %v", field, got)
		}
	}
}
