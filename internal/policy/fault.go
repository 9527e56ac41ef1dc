package policy

import (
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
)

// Fault is something wrong in an expression; Line and Column count from 1, in
// code points.
type Fault struct {
	Line, Column int
	What         string
}

// Faults are all that is wrong in an expression.
type Faults []Fault

// Error implements error.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, fault := range f {
		lines[i] = fmt.Sprintf("%d:%d: %s", fault.Line, fault.Column, fault.What)
	}
	return strings.Join(lines, "\n")
}

func faultsOf(issues *cel.Issues) Faults {
	var faults Faults
	for _, e := range issues.Errors() {
		what := strings.TrimPrefix(e.Message, "Syntax error: ")
		faults = append(faults, Fault{max(e.Location.Line(), 1), max(e.Location.Column(), 0) + 1, what + advice(what)})
	}
	return faults
}

// advice answers the mistakes that people make most.
func advice(what string) string {
	switch {
	case strings.Contains(what, "(net.IP, string)") || strings.Contains(what, "(string, net.IP)"):
		return `; write ip("…") around the text`
	case strings.Contains(what, "'@in' applied to '(net.IP, list(string))'"):
		return "; give the nets a name under nets: and write client.ip in nets.NAME"
	case strings.Contains(what, "'@in' applied to '(net.IP, net.CIDR)'"):
		return `; write cidr("…").containsIP(client.ip)`
	case strings.Contains(what, "'@in' applied to '(string, net)'"):
		return "; a net holds addresses, as client.ip"
	case strings.Contains(what, "'@in' applied to '(net.IP, names)'"):
		return "; a list holds texts, as rcpt.domain"
	case strings.Contains(what, "token recognition error at: '="), strings.Contains(what, "extraneous input '='"):
		return "; == compares"
	case strings.Contains(what, "mismatched input 'and'"), strings.Contains(what, "extraneous input 'and'"):
		return "; && means and"
	case strings.Contains(what, "mismatched input 'or'"), strings.Contains(what, "extraneous input 'or'"):
		return "; || means or"
	}
	return ""
}

// checkNames finds names that are not known, before the type checker would
// complain about the first part of them only.
func (s scope) checkNames(parsed *cel.Ast, groups []string) Faults {
	w := nameWalk{scope: s, info: parsed.NativeRep().SourceInfo(), groups: groups}
	w.walk(parsed.NativeRep().Expr(), nil)
	return w.faults
}

type nameWalk struct {
	scope
	info   *ast.SourceInfo
	groups []string
	faults Faults
}

// walk descends; local are the variables of the macros around e.
func (w *nameWalk) walk(e ast.Expr, local []string) {
	switch e.Kind() {
	case ast.CallKind:
		if call := e.AsCall(); call.IsMemberFunction() && !w.qualified(call) {
			w.walk(call.Target(), local)
		}
		for _, arg := range e.AsCall().Args() {
			w.walk(arg, local)
		}
	case ast.ListKind:
		for _, element := range e.AsList().Elements() {
			w.walk(element, local)
		}
	case ast.MapKind:
		for _, entry := range e.AsMap().Entries() {
			w.walk(entry.AsMapEntry().Key(), local)
			w.walk(entry.AsMapEntry().Value(), local)
		}
	case ast.ComprehensionKind:
		c := e.AsComprehension()
		inner := append(slices.Clone(local), c.IterVar(), c.IterVar2(), c.AccuVar())
		w.walk(c.IterRange(), local)
		w.walk(c.AccuInit(), local)
		w.walk(c.LoopCondition(), inner)
		w.walk(c.LoopStep(), inner)
		w.walk(c.Result(), inner)
	case ast.IdentKind, ast.SelectKind:
		path, root := selection(e)
		if e.Kind() == ast.SelectKind && e.AsSelect().IsTestOnly() && len(w.content) > 0 && slices.Equal(path[:len(path)-1], []string{"header"}) {
			w.fault(root, fmt.Sprintf("a field that is not there is \"\": write %q in header", path[1]))
			return
		}
		if root == nil {
			w.walk(e.AsSelect().Operand(), local)
			return
		}
		if !slices.Contains(local, path[0]) {
			w.check(root, path)
		}
	}
}

// qualified reports whether the call is of a function with a dotted name, as
// ip.isCanonical(…).
func (w *nameWalk) qualified(call ast.CallExpr) bool {
	path, root := selection(call.Target())
	return root != nil && w.env.HasFunction(strings.Join(append(path, call.FunctionName()), "."))
}

// selection is a chain of names a.b.c and its first part, nil if e is more
// than that.
func selection(e ast.Expr) (path []string, root ast.Expr) {
	switch e.Kind() {
	case ast.IdentKind:
		return []string{e.AsIdent()}, e
	case ast.SelectKind:
		path, root = selection(e.AsSelect().Operand())
		return append(path, e.AsSelect().FieldName()), root
	}
	return nil, nil
}

// check accepts a known name, and type names such as string.
func (w *nameWalk) check(root ast.Expr, path []string) {
	name := strings.TrimPrefix(strings.Join(path[:min(2, len(path))], "."), ".")
	group, _, _ := strings.Cut(name, ".")
	known := slices.Contains(w.names, name) || slices.Contains(w.names, group)
	what := ""
	switch {
	case known && group == "from" && w.outOfReach(group):
		what = fmt.Sprintf("%s is not known here; it is read from the header when a message goes out", name)
	case known && group == "header" && w.outOfReach(group):
		what = "header is not known here; it is read where routers ask for it, and for reports"
	case known && w.outOfReach(group):
		what = fmt.Sprintf("%s is not known here; only %s, nets and lists are", name, strings.Join(w.groups, ", "))
	case known || w.typeName(group):
		return
	default:
		what = fmt.Sprintf("unknown name %s", name) + w.suggest(name, group)
	}
	w.fault(root, what)
}

func (w *nameWalk) fault(at ast.Expr, what string) {
	where := w.info.GetStartLocation(at.ID())
	w.faults = append(w.faults, Fault{where.Line(), where.Column() + 1, what})
}

func (w *nameWalk) outOfReach(group string) bool {
	if slices.Contains(w.content, group) {
		return !slices.Contains(w.groups, group)
	}
	return len(w.groups) > 0 && group != "nets" && group != "lists" && !slices.Contains(w.groups, group)
}

func (w *nameWalk) typeName(name string) bool {
	_, ok := w.env.CELTypeProvider().FindIdent(name)
	return ok
}

// suggest names what was probably meant: the nearest name, or what the group
// has.
func (w *nameWalk) suggest(name, group string) string {
	nearest, distance := "", 3
	var members []string
	for _, known := range w.names {
		if d := Distance(name, known); d < distance {
			nearest, distance = known, d
		}
		if rest, ok := strings.CutPrefix(known, group+"."); ok {
			members = append(members, rest)
		}
	}
	switch {
	case nearest != "":
		return "; did you mean " + nearest + "?"
	case len(members) > 0:
		return "; " + group + " has " + strings.Join(members, ", ")
	case group == "nets" || group == "lists":
		return "; the configuration names no " + group
	}
	return "; known are " + strings.Join(w.roots(), ", ")
}

func (w *nameWalk) roots() []string {
	var roots []string
	for _, known := range w.names {
		root, _, _ := strings.Cut(known, ".")
		if !slices.Contains(roots, root) && (!slices.Contains(w.content, root) || slices.Contains(w.groups, root)) {
			roots = append(roots, root)
		}
	}
	return roots
}

// Distance is how many letters are to be changed, added or dropped to make one
// word of the other (Levenshtein): what was probably meant by a misspelt name.
func Distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
