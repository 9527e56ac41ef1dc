package archtest

import (
	"go/ast"
	"slices"
	"strings"
	"testing"
)

// arrows is the import table of the house: what a room may import of ours. A
// room's name stands for its subpackages too, unless one has a row of its own;
// a target that ends in / stands for a folder and all below it. A room may
// always import its own subpackages.
var arrows = map[string][]string{
	"cmd":                {"*"},
	"smtp":               {"queue", "queue/event", "queue/state", "internal/mail", "internal/mail/header", "internal/policy", "internal/rewrite", "internal/dns", "internal/mailauth", "internal/mailauth/"},
	"delivery":           {"delivery/", "queue", "queue/event", "queue/state", "internal/mail", "internal/policy", "internal/rewrite", "internal/dns", "internal/tlspolicy", "internal/mailauth", "internal/mailauth/", "internal/mail/header"},
	"queue":              {"queue/", "cluster", "internal/mail"},
	"queue/state":        {"queue/event", "queue/event/codec", "internal/mail"},
	"queue/event":        {"internal/mail"},
	"cluster":            {"cluster/"},
	"bench":              {"bench/"},
	"internal/mail":      {},
	"internal/mailauth":  {"internal/mail", "internal/mail/header", "internal/dns", "internal/policy"},
	"internal/policy":    {"internal/mail"},
	"internal/rewrite":   {"internal/mail", "internal/mail/header", "internal/policy"},
	"internal/dns":       {"internal/mail"},
	"internal/tlspolicy": {"internal/mail", "internal/dns"},
	"internal/lookup":    {},
	"internal/config":    {"internal/mail", "internal/policy"},
	"internal/telemetry": {"internal/mail"},
	"internal/pressure":  {},
	"internal/admin":     {"queue", "queue/event", "queue/state", "cluster", "internal/mail", "internal/policy"},
	"internal/sim":       {"*"},
	"internal/archtest":  {},
}

// room finds the row for a package: its own or that of the nearest folder
// above.
func room(pkg string) (string, bool) {
	for name := pkg; ; {
		if _, ok := arrows[name]; ok {
			return name, true
		}
		i := strings.LastIndexByte(name, '/')
		if i < 0 {
			return "", false
		}
		name = name[:i]
	}
}

func TestImportsFollowTheTable(t *testing.T) {
	tr := load(t)
	for _, pkg := range tr.names() {
		name, ok := room(pkg)
		if !ok {
			t.Errorf("%s: the import table has no row for it", pkg)
			continue
		}
		for _, target := range tr.ours(pkg) {
			if !allowed(name, target) {
				t.Errorf("%s must not import %s", pkg, target)
			}
		}
	}
}

func allowed(room, target string) bool {
	if target == room || strings.HasPrefix(target, room+"/") {
		return true
	}
	for _, a := range arrows[room] {
		if a == "*" || a == target || (strings.HasSuffix(a, "/") && strings.HasPrefix(target, a)) {
			return true
		}
	}
	return false
}

func TestLongestChain(t *testing.T) {
	const most = 8
	tr := load(t)
	known := map[string][]string{}
	var chain func(pkg string) []string
	chain = func(pkg string) []string {
		if c, ok := known[pkg]; ok {
			return c
		}
		var longest []string
		for _, next := range tr.ours(pkg) {
			if c := chain(next); len(c) > len(longest) {
				longest = c
			}
		}
		known[pkg] = append([]string{pkg}, longest...)
		return known[pkg]
	}
	for _, pkg := range tr.names() {
		if c := chain(pkg); len(c) > most {
			t.Errorf("chain of %d packages, at most %d: %s", len(c), most, strings.Join(c, " → "))
		}
	}
}

// pure packages are functions of their arguments: what they may import.
var pure = map[string][]string{
	"queue/event":        {"errors", "fmt", "math", "slices", "strings", "strconv", "time", "encoding/binary", "bytes", "cmp", "unicode/utf8", "crypto/sha256", "google.golang.org/protobuf/encoding/protowire"},
	"queue/event/codec":  {"errors", "fmt", "math", "time", "google.golang.org/protobuf/encoding/protowire"},
	"queue/state":        {"errors", "fmt", "math", "slices", "strings", "strconv", "time", "encoding/binary", "encoding/hex", "bytes", "cmp", "maps", "sort", "crypto/sha256", "google.golang.org/protobuf/encoding/protowire"},
	"queue/state/roster": {"fmt", "time"},
}

// clocks are the functions of package time that look at a clock.
var clocks = []string{"Now", "Since", "Until", "After", "AfterFunc", "Sleep", "Tick", "NewTimer", "NewTicker"}

func TestPurePackages(t *testing.T) {
	tr := load(t)
	for pkg, may := range pure {
		for _, path := range tr.imports(pkg) {
			if !strings.HasPrefix(path, module+"/") && !slices.Contains(may, path) {
				t.Errorf("%s is pure and must not import %s", pkg, path)
			}
		}
		for _, f := range tr.packages[pkg] {
			ast.Inspect(f.ast, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.GoStmt:
					t.Errorf("%s: a pure package starts a goroutine", tr.at(n.Pos()))
				case *ast.SelectorExpr:
					if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains(clocks, n.Sel.Name) {
						t.Errorf("%s: a pure package calls time.%s", tr.at(n.Pos()), n.Sel.Name)
					}
				}
				return true
			})
		}
	}
}
