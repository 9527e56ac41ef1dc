package archtest

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"
	"testing"
)

// The limits of how our code reads. One is raised only in the commit that
// explains why.
const (
	mostFunction  = 70
	mostFile      = 500
	mostPackage   = 2000
	mostFields    = 15
	mostInterface = 4
)

func TestSizes(t *testing.T) {
	tr := load(t)
	for _, pkg := range tr.names() {
		total := 0
		for _, f := range tr.packages[pkg] {
			total += f.lines
			if f.lines > mostFile {
				t.Errorf("%s has %d lines, at most %d", f.path, f.lines, mostFile)
			}
			for _, d := range f.ast.Decls {
				fn, ok := d.(*ast.FuncDecl)
				if !ok {
					continue
				}
				lines := tr.fset.Position(fn.End()).Line - tr.fset.Position(fn.Pos()).Line + 1
				if lines > mostFunction {
					t.Errorf("%s: %s has %d lines, at most %d", tr.at(fn.Pos()), fn.Name.Name, lines, mostFunction)
				}
			}
		}
		if total > mostPackage {
			t.Errorf("package %s has %d lines, at most %d", pkg, total, mostPackage)
		}
	}
}

func TestTypes(t *testing.T) {
	tr := load(t)
	for _, pkg := range tr.names() {
		for _, f := range tr.packages[pkg] {
			ast.Inspect(f.ast, func(n ast.Node) bool {
				spec, ok := n.(*ast.TypeSpec)
				if !ok {
					return true
				}
				switch x := spec.Type.(type) {
				case *ast.StructType:
					if k := width(x.Fields); k > mostFields && !wideAllowed(pkg, spec.Name.Name) {
						t.Errorf("%s: struct %s has %d fields, at most %d", tr.at(spec.Pos()), spec.Name.Name, k, mostFields)
					}
				case *ast.InterfaceType:
					if k := width(x.Methods); k > mostInterface {
						t.Errorf("%s: interface %s has %d methods, at most %d", tr.at(spec.Pos()), spec.Name.Name, k, mostInterface)
					}
				}
				return true
			})
		}
	}
}

// wideAllowed excepts configuration and events from the limit on fields.
func wideAllowed(pkg, name string) bool {
	return pkg == "queue/event" || pkg == "internal/config" || strings.HasSuffix(name, "Options")
}

func width(l *ast.FieldList) int {
	k := 0
	for _, f := range l.List {
		k += max(1, len(f.Names))
	}
	return k
}

func TestPackageLevel(t *testing.T) {
	tr := load(t)
	for _, pkg := range tr.names() {
		for _, f := range tr.packages[pkg] {
			for _, d := range f.ast.Decls {
				switch d := d.(type) {
				case *ast.FuncDecl:
					if d.Name.Name == "init" && d.Recv == nil {
						t.Errorf("%s: init is not allowed", tr.at(d.Pos()))
					}
				case *ast.GenDecl:
					if d.Tok == token.VAR {
						checkVars(t, tr, d)
					}
				}
			}
		}
	}
}

// checkVars allows errors, tables, compiled patterns, embedded files and
// assertions that a type implements an interface.
func checkVars(t *testing.T, tr tree, d *ast.GenDecl) {
	embedded := d.Doc != nil && strings.Contains(d.Doc.Text()+rawText(d.Doc), "go:embed")
	for _, s := range d.Specs {
		spec := s.(*ast.ValueSpec)
		if embedded || (spec.Doc != nil && strings.Contains(rawText(spec.Doc), "go:embed")) {
			continue
		}
		for i, name := range spec.Names {
			if name.Name == "_" || (i < len(spec.Values) && constant(spec.Values[i])) {
				continue
			}
			t.Errorf("%s: package-level variable %s is neither error, table, pattern nor embedded file", tr.at(name.Pos()), name.Name)
		}
	}
}

func rawText(g *ast.CommentGroup) string {
	var b strings.Builder
	for _, c := range g.List {
		b.WriteString(c.Text)
	}
	return b.String()
}

// constant reports whether the initial value is of the allowed kinds; the name
// of an error of another package counts as an error.
func constant(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.SelectorExpr:
		return strings.HasPrefix(e.Sel.Name, "Err")
	case *ast.CompositeLit:
		switch e.Type.(type) {
		case *ast.MapType, *ast.ArrayType:
			return true
		}
		return false
	case *ast.CallExpr:
		sel, ok := e.Fun.(*ast.SelectorExpr)
		if !ok {
			return false
		}
		x, ok := sel.X.(*ast.Ident)
		if !ok {
			return false
		}
		call := x.Name + "." + sel.Sel.Name
		return slices.Contains([]string{"errors.New", "fmt.Errorf", "regexp.MustCompile", "netip.MustParsePrefix", "netip.MustParseAddr", "strings.NewReplacer", "base32.NewEncoding", "crc32.MakeTable", "cel.ObjectType"}, call)
	}
	return false
}

func TestExportedNamesAreDocumented(t *testing.T) {
	tr := load(t)
	for _, pkg := range tr.names() {
		documented := false
		for _, f := range tr.packages[pkg] {
			documented = documented || f.ast.Doc != nil
			for _, d := range f.ast.Decls {
				checkDoc(t, tr, d)
			}
		}
		if !documented {
			t.Errorf("package %s has no package comment", pkg)
		}
	}
}

func checkDoc(t *testing.T, tr tree, d ast.Decl) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && exportedReceiver(d) && d.Doc == nil {
			t.Errorf("%s: %s has no comment", tr.at(d.Pos()), d.Name.Name)
		}
	case *ast.GenDecl:
		for _, s := range d.Specs {
			switch s := s.(type) {
			case *ast.TypeSpec:
				if s.Name.IsExported() && d.Doc == nil && s.Doc == nil {
					t.Errorf("%s: type %s has no comment", tr.at(s.Pos()), s.Name.Name)
				}
			case *ast.ValueSpec:
				for _, name := range s.Names {
					if name.IsExported() && d.Doc == nil && s.Doc == nil && s.Comment == nil {
						t.Errorf("%s: %s has no comment", tr.at(s.Pos()), name.Name)
					}
				}
			}
		}
	}
}

func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return true
	}
	x := d.Recv.List[0].Type
	if star, ok := x.(*ast.StarExpr); ok {
		x = star.X
	}
	if index, ok := x.(*ast.IndexExpr); ok {
		x = index.X
	}
	id, ok := x.(*ast.Ident)
	return !ok || id.IsExported()
}
