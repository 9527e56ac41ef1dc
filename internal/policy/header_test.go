package policy

import (
	"errors"
	"strings"
	"testing"
)

// Fields are known where an expression says so: by names in any case, "" where
// there is none, and read only when they are asked for.
func TestHeader(t *testing.T) {
	env := testEnv(t)
	asked := 0
	f := &Facts{Login: "x", Fields: Fields{Header: func() (map[string]string, error) {
		asked++
		return map[string]string{"x-team": "sales", "subject": "Hello"}, nil
	}}}
	for expr, want := range map[string]bool{
		`header["X-Team"] == "sales"`:                        true,
		`header["x-team"].startsWith("sa")`:                  true,
		`header["x-other"] == ""`:                            true,
		`"X-TEAM" in header && !("x-other" in header)`:       true,
		`header.subject == "Hello"`:                          true,
		`header.exists(name, header[name] == "Hello")`:       true,
		`header["x-other"] == "sales" || header.size() != 2`: false,
	} {
		c, err := env.Condition(expr, "header")
		if err != nil {
			t.Errorf("%s: %v", expr, err)
			continue
		}
		if got, err := c.Eval(f); got != want || err != nil {
			t.Errorf("%s: got %v, %v", expr, got, err)
		}
	}
	asked = 0
	c, err := env.Condition(`client.login == "y" && header["x-team"] == "sales"`, "client", "header")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.Eval(f); got || err != nil || asked != 0 {
		t.Errorf("%v, %v: read %d times for nothing", got, err, asked)
	}
	f.Login, f.Header = "y", func() (map[string]string, error) { return nil, errors.New("unreadable") }
	if _, err := c.Eval(f); err == nil || !strings.Contains(err.Error(), "unreadable") {
		t.Errorf("got %v", err)
	}
	f.Header = nil
	if got, err := c.Eval(f); got || err != nil {
		t.Errorf("without a header: %v, %v", got, err)
	}
	for expr, want := range map[string]string{
		`header["x"] == "y"`: "header is not known here",
		`has(header.x)`:      `write "x" in header`,
	} {
		groups := []string{"client", "header"}
		if strings.Contains(want, "known") {
			groups = nil
		}
		if _, err := env.Condition(expr, groups...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", expr, err)
		}
	}
}
