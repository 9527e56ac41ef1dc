package pipe

import (
	"slices"
	"strings"
	"testing"

	"quorumta/internal/mail"
	"quorumta/internal/policy"
)

func TestSplit(t *testing.T) {
	for line, want := range map[string][]string{
		"/bin/vacation":                     {"/bin/vacation"},
		" /bin/vacation  -a \tanna ":        {"/bin/vacation", "-a", "anna"},
		`/bin/x 'a "b" \' "c 'd' \"\\" $e;`: {"/bin/x", `a "b" \`, `c 'd' "\`, "$e;"},
		`/bin/x ""`:                         {"/bin/x", ""},
		"":                                  nil, "vacation": nil, "/bin/x 'a": nil, `/bin/x "a\`: nil,
	} {
		if got, err := split(line); !slices.Equal(got, want) || (err == nil) != (want != nil) {
			t.Errorf("%s: %q, %v", line, got, err)
		}
	}
}

// TestAlias: without a command it is the one that an alias names.
func TestAlias(t *testing.T) {
	m := message("x\r\n")
	o := Options{Spool: t.TempDir()}
	for line, want := range map[string]string{`/bin/sh -c "echo got $1; exit 67" sh 'a b'`: "554 5.1.1 the command ended with status 67 (EX_NOUSER):\ngot a b", "": "451 4.3.5"} {
		m.Content = strings.NewReader("x\r\n")
		m.Again = source{facts: policy.Facts{Rcpt: mail.Address{Local: "a", Domain: "b"}, Data: line}}
		if res, err := send(t, t.Context(), o, m); err != nil || !strings.HasPrefix(res.FinalOf(0).String(), want) {
			t.Errorf("%s: %+v, %v", line, res, err)
		}
	}
}
