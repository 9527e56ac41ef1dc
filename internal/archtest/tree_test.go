package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "quorumta"

// file is one source file that is neither a test nor generated.
type file struct {
	path  string // from the module's root
	lines int
	ast   *ast.File
}

// tree is the module's source by package folder; the root is "".
type tree struct {
	fset     *token.FileSet
	packages map[string][]file
}

// load parses the module.
func load(t *testing.T) tree {
	t.Helper()
	root := filepath.Join("..", "..")
	out := tree{fset: token.NewFileSet(), packages: map[string][]file{}}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if path != root && (strings.HasPrefix(name, ".") || name == "testdata") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		parsed, err := parser.ParseFile(out.fset, path, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		if ast.IsGenerated(parsed) {
			return nil
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		pkg := filepath.ToSlash(filepath.Dir(rel))
		out.packages[pkg] = append(out.packages[pkg], file{
			path: filepath.ToSlash(rel), lines: strings.Count(string(text), "\n"), ast: parsed,
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.packages) == 0 {
		t.Fatal("no packages found")
	}
	return out
}

// names are the package folders in order.
func (tr tree) names() []string { return slices.Sorted(maps.Keys(tr.packages)) }

// imports are what the package imports, in order.
func (tr tree) imports(pkg string) []string {
	set := map[string]bool{}
	for _, f := range tr.packages[pkg] {
		for _, spec := range f.ast.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err == nil {
				set[path] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// ours are the packages of this module that the package imports.
func (tr tree) ours(pkg string) []string {
	var out []string
	for _, path := range tr.imports(pkg) {
		if rest, ok := strings.CutPrefix(path, module+"/"); ok {
			out = append(out, rest)
		}
	}
	return out
}

// at is a position as file:line.
func (tr tree) at(pos token.Pos) string {
	p := tr.fset.Position(pos)
	return strings.TrimPrefix(filepath.ToSlash(p.Filename), "../../") + ":" + strconv.Itoa(p.Line)
}
