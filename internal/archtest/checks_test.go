package archtest

import (
	"os/exec"
	"strings"
	"testing"
)

func TestGofmt(t *testing.T) {
	out := run(t, "gofmt", "-l", ".")
	if out != "" {
		t.Errorf("gofmt would change:\n%s", out)
	}
}

func TestVet(t *testing.T) { run(t, "go", "vet", "./...") }

func TestStaticcheck(t *testing.T) {
	if testing.Short() {
		t.Skip("staticcheck takes its time; run without -short")
	}
	run(t, "go", "tool", "staticcheck", "./...")
}

// run runs the command in the module's root and returns what it printed.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = "../.."
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}
