package retry

import (
	"slices"
	"strings"
	"testing"

	"quorumta/internal/mail"
	"quorumta/queue/event"
)

func patterns(t testing.TB, names ...string) []Pattern {
	t.Helper()
	var list []Pattern
	for _, name := range names {
		p, err := ParsePattern(name)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
	return list
}

// TestErrorNames: each error has the names that Exim gives it, and ours.
func TestErrorNames(t *testing.T) {
	all := []string{
		"*", "auth_failed", "data_4xx", "data_452", "mail_4xx", "mail_45x", "rcpt_4xx", "rcpt_452", "rcpt_4x1", "lost_connection", "lookup",
		"refused", "refused_A", "refused_MX", "timeout_connect", "timeout_connect_A", "timeout_connect_MX", "timeout", "timeout_A", "timeout_MX",
		"tls_required", "quota", "quota_7d", "routing", "connect", "tls", "lost", "greeting", "sender", "recipient", "content", "internal",
	}
	code := func(n int, enhanced string) mail.Reply { return mail.Reply{Code: n, Enhanced: enhanced} }
	for name, test := range map[string]struct {
		e    Error
		want string
	}{
		"refused by a named host":   {Error{Kind: event.ErrorRefused}, "refused refused_A connect"},
		"refused by an MX":          {Error{Kind: event.ErrorRefused, MX: true}, "refused refused_MX connect"},
		"an MX is silent":           {Error{Kind: event.ErrorConnectTimeout, MX: true}, "timeout_connect timeout_connect_MX timeout timeout_MX connect"},
		"a session falls silent":    {Error{Kind: event.ErrorTimeout}, "timeout timeout_A"},
		"no route to host":          {Error{Kind: event.ErrorConnect}, "connect"},
		"connection lost":           {Error{Kind: event.ErrorLost, Reply: code(421, "")}, "lost_connection lost"},
		"no name server":            {Error{Kind: event.ErrorRouting, Reply: code(451, "4.4.3")}, "lookup routing"},
		"a router's condition":      {Error{Kind: event.ErrorRouting, Reply: code(451, "4.3.5")}, "routing"},
		"greylisted":                {Error{Kind: event.ErrorRecipient, Reply: code(451, "4.7.1")}, "rcpt_4xx rcpt_4x1 recipient"},
		"too many":                  {Error{Kind: event.ErrorRecipient, Reply: code(452, "4.5.3")}, "rcpt_4xx rcpt_452 recipient"},
		"552 that stands for 452":   {Error{Kind: event.ErrorRecipient, Reply: code(552, "5.5.3")}, "rcpt_4xx rcpt_452 recipient"},
		"a full mailbox elsewhere":  {Error{Kind: event.ErrorRecipient, Reply: code(452, "4.2.2")}, "rcpt_4xx rcpt_452 quota recipient"},
		"a full mailbox of ours":    {Error{Kind: event.ErrorQuota, Unread: day}, "quota"},
		"one that nobody reads":     {Error{Kind: event.ErrorQuota, Unread: 8 * day}, "quota quota_7d"},
		"a sender refused for now":  {Error{Kind: event.ErrorSender, Reply: code(450, "")}, "mail_4xx mail_45x sender"},
		"content refused for now":   {Error{Kind: event.ErrorContent, Reply: code(452, "")}, "data_4xx data_452 content"},
		"the host does not know us": {Error{Kind: event.ErrorAuth, Reply: code(535, "5.7.8")}, "auth_failed"},
		"no TLS where it must be":   {Error{Kind: event.ErrorTLSRequired}, "tls_required tls"},
		"TLS breaks":                {Error{Kind: event.ErrorTLS}, "tls_required tls"},
		"greeted with 4yz":          {Error{Kind: event.ErrorGreeting, Reply: code(421, "")}, "greeting"},
		"our own fault":             {Error{Kind: event.ErrorInternal}, "internal"},
	} {
		got := []string{}
		for _, p := range patterns(t, all...) {
			if p.matches(&test.e) {
				got = append(got, p.String())
			}
		}
		want := append(strings.Fields(test.want), "*")
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: matched by %v, want %v", name, got, want)
		}
	}
}

// TestExamples: what a name stands for is matched by it.
func TestExamples(t *testing.T) {
	for _, name := range []string{"*", "rcpt_452", "mail_45x", "data_4xx", "lookup", "quota_2w", "timeout_connect_MX", "refused_A", "auth_failed"} {
		e, ok := Example(name)
		if !ok || !patterns(t, name)[0].matches(&e) {
			t.Errorf("%s: %+v", name, e)
		}
	}
	for _, name := range []string{"", "rcpt_5xx", "rcpt_4", "rcpt_44x2", "lost_A", "quota_", "quota_7", "nothing"} {
		if _, ok := Example(name); ok {
			t.Errorf("%q is taken", name)
		}
	}
	if _, err := ParsePattern("timout"); err == nil || !strings.Contains(err.Error(), "timeout_connect_MX") {
		t.Errorf("got %v", err)
	}
}

func TestClasses(t *testing.T) {
	want := map[Class][]event.ErrorKind{
		0:       {event.ErrorNone},
		Host:    {event.ErrorConnect, event.ErrorRefused, event.ErrorConnectTimeout, event.ErrorGreeting, event.ErrorLost, event.ErrorTimeout, event.ErrorTLS, event.ErrorTLSRequired, event.ErrorAuth},
		Message: {event.ErrorSender, event.ErrorContent},
		Address: {event.ErrorRecipient, event.ErrorRouting, event.ErrorQuota},
		Ours:    {event.ErrorInternal},
	}
	for class, kinds := range want {
		for _, kind := range kinds {
			if got := ClassOf(kind); got != class {
				t.Errorf("kind %d is of class %d, want %d", kind, got, class)
			}
		}
	}
}
