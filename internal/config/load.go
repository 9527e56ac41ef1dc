package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"quorumta/internal/config/strict"
)

// Load reads and checks a file. node, if not empty, is which node of the file
// this one is. What is wrong comes back as Faults, all of it.
func Load(path, node string) (*File, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("find the configuration: %w", err)
	}
	f, faults := parse(path, text)
	if f != nil {
		if node != "" {
			f.Node = node
		}
		if f.Cluster.Listen == "" { // one file for all nodes cannot name one
			f.Cluster.Listen = f.Cluster.Members[f.Node]
		}
		f.path = absolute
		f.resolve(filepath.Dir(absolute))
		c := checker{Decoder: faults, file: f}
		c.check()
	}
	if len(faults.Faults) > 0 {
		return nil, faults.Faults.Sorted()
	}
	return f, nil
}

// The texts of the library's errors: with a line, and those about a reference.
var (
	yamlLine   = regexp.MustCompile(`^yaml: line (\d+): `)
	yamlAnchor = regexp.MustCompile(`^yaml: unknown anchor '(.*)' referenced`)
)

// parse decodes the text; the File is nil where YAML itself is broken.
func parse(path string, text []byte) (*File, *strict.Decoder) {
	d := &strict.Decoder{File: path, Where: map[string]strict.Position{}, Suggest: suggest}
	var doc yaml.Node
	source := yaml.NewDecoder(bytes.NewReader(text))
	if err := source.Decode(&doc); err != nil && !errors.Is(err, io.EOF) {
		p, what := locate(err, text)
		d.Fault(p, "not YAML: "+what, `a text that begins with one of * & ! % @ [ { or holds ": " stands in quotes`)
		return nil, d
	}
	f := defaults()
	if len(doc.Content) > 0 {
		d.Decode(doc.Content[0], reflect.ValueOf(f).Elem(), "")
	}
	var second yaml.Node
	if err := source.Decode(&second); err == nil {
		d.Fault(strict.At(&second), "a second document", "one file holds one configuration")
	}
	return f, d
}

// locate finds where the library's error is, and what it says beside that.
func locate(err error, text []byte) (strict.Position, string) {
	what := err.Error()
	if m := yamlLine.FindStringSubmatch(what); m != nil {
		line, _ := strconv.Atoi(m[1])
		return strict.Position{Line: line, Column: 1}, what[len(m[0]):]
	}
	if m := yamlAnchor.FindStringSubmatch(what); m != nil {
		before, _, _ := bytes.Cut(text, []byte("*"+m[1]))
		line := bytes.Count(before, []byte("\n")) + 1
		return strict.Position{Line: line, Column: len(before) - bytes.LastIndexByte(before, '\n')}, "*" + m[1] + " refers to nothing"
	}
	return strict.Position{Line: 1, Column: 1}, strings.TrimPrefix(what, "yaml: ")
}

// resolve makes paths absolute: they are relative to the file.
func (f *File) resolve(dir string) {
	for _, p := range []*string{
		&f.Data, &f.DSN.Templates, &f.Admin.Socket, &f.TLS.Cert, &f.TLS.Key,
		&f.Cluster.TLS.CA, &f.Cluster.TLS.Cert, &f.Cluster.TLS.Key, &f.Cluster.TLS.CAKey,
	} {
		*p = absolute(dir, *p)
	}
	for i := range f.Certificates {
		for _, p := range []*string{&f.Certificates[i].Cert, &f.Certificates[i].Key} {
			*p = absolute(dir, *p)
		}
	}
	for _, t := range f.Transports {
		if t.HTTP != nil {
			t.HTTP.CA = absolute(dir, t.HTTP.CA)
		}
	}
	f.DNS.resolve(dir)
	for i := range f.Lookups {
		f.Lookups[i].Resolve(dir)
	}
	for i := range f.Routers {
		f.Routers[i].resolve(dir)
	}
	for i := range f.Transports {
		if s := f.Transports[i].SMTP; s != nil {
			s.Resolve(dir)
		}
	}
}

// absolute is a path of the file, whose directory is dir; "" stays.
func absolute(dir, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}
