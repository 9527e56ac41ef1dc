package returnpath

import (
	"errors"
	"strings"
	"testing"
	"time"

	"quorumta/internal/mail"
	"quorumta/internal/mailauth/batv"
	"quorumta/internal/mailauth/srs"
	"quorumta/internal/policy"
)

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func address(t *testing.T, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func rules(t *testing.T) *Rules {
	t.Helper()
	env, err := policy.NewEnv(nil, map[string][]string{"ours": {"corp.example"}})
	if err != nil {
		t.Fatal(err)
	}
	condition := func(expr string, groups []string) *policy.Condition {
		c, err := env.Condition(expr, groups...)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	return &Rules{
		SRS:    &srs.Rewriter{Domain: "srs.corp.example", Secrets: [][]byte{[]byte("s")}, Length: 4, MaxAge: 21, Separator: '='},
		SRSIf:  condition(`!(sender.domain in lists.ours)`, OutGroups()),
		BATV:   &batv.Tagger{Keys: map[int][]byte{1: []byte("b")}, Key: 1, Days: 7},
		BATVIf: condition(`sender.domain in lists.ours`, OutGroups()),
		Check:  condition(`rcpt.domain in lists.ours`, InGroups()),
	}
}

func TestOut(t *testing.T) {
	r := rules(t)
	for _, c := range []struct {
		sender    string
		forwarded bool
		want      string
	}{
		{"", true, ""},
		{"", false, ""},
		{"joe@x.example", false, "joe@x.example"},
		{"joe@x.example", true, "SRS0=…"},
		{"joe@corp.example", true, "joe@corp.example"},
		{"joe@corp.example", false, "prvs=1…"},
		{strings.Repeat("x", 60) + "@corp.example", false, strings.Repeat("x", 60) + "@corp.example"},
		{strings.Repeat("x", 60) + "@x.example", true, strings.Repeat("x", 60) + "@x.example"},
	} {
		got, err := r.Out(&policy.Facts{Sender: address(t, c.sender)}, c.forwarded, now)
		start, any := strings.CutSuffix(c.want, "…")
		if err != nil || got.String() != c.want && !(any && strings.HasPrefix(got.String(), start)) {
			t.Errorf("%s, forwarded %v: %s, %v", c.sender, c.forwarded, got, err)
		}
		var none *Rules
		if got, err := none.Out(&policy.Facts{Sender: address(t, c.sender)}, c.forwarded, now); err != nil || got.String() != c.sender {
			t.Errorf("without rules: %s, %v", got, err)
		}
	}
}

func TestIn(t *testing.T) {
	r := rules(t)
	forwarded, _ := r.Out(&policy.Facts{Sender: address(t, "joe@x.example")}, true, now)
	tagged, _ := r.Out(&policy.Facts{Sender: address(t, "joe@corp.example")}, false, now)
	for _, c := range []struct {
		sender, rcpt, to string
		accepted         bool
		err              error
	}{
		{"", forwarded.String(), "joe@x.example", true, nil},
		{"ann@y.example", forwarded.String(), "joe@x.example", true, nil},
		{"", strings.Replace(forwarded.String(), "joe", "jim", 1), "", false, ErrForged},
		{"", tagged.String(), "joe@corp.example", false, nil},
		{"ann@y.example", tagged.String(), "joe@corp.example", false, nil},
		{"", "joe@corp.example", "", false, ErrBackscatter},
		{"", "prvs=1000abcdef=joe@corp.example", "", false, ErrForged},
		{"ann@y.example", "prvs=1000abcdef=joe@corp.example", "prvs=1000abcdef=joe@corp.example", false, nil},
		{"ann@y.example", "joe@corp.example", "joe@corp.example", false, nil},
		{"", "postmaster@corp.example", "postmaster@corp.example", false, nil},
		{"", "joe@other.example", "joe@other.example", false, nil},
	} {
		to, accepted, err := r.In(&policy.Facts{Sender: address(t, c.sender), Rcpt: address(t, c.rcpt)}, now)
		if !errors.Is(err, c.err) || accepted != c.accepted || err == nil && to.String() != c.to {
			t.Errorf("<%s> to %s: %s, %v, %v", c.sender, c.rcpt, to, accepted, err)
		}
	}
	var none *Rules
	if to, accepted, err := none.In(&policy.Facts{Rcpt: tagged}, now); to != tagged || accepted || err != nil {
		t.Errorf("without rules: %v, %v, %v", to, accepted, err)
	}
	if _, _, err := r.In(&policy.Facts{Rcpt: tagged}, now.AddDate(0, 0, 9)); !errors.Is(err, ErrForged) {
		t.Errorf("a report that comes too late: %v", err)
	}
}
