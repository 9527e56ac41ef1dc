// Package strict decodes YAML by the types that it is read into: an unknown key,
// a value of another kind or a key that stands twice is a fault, and where each
// value stood is remembered for those who check it further.
package strict

import (
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"quorumta/internal/config/fault"
)

// scalar is a value that is written as one text.
type scalar interface {
	Parse(s string) error
}

// grouped is a list of texts and of lists of texts.
type grouped interface {
	SetGroups(groups [][]string)
}

// loneRow is a list of which a single row may stand without the list.
type loneRow interface {
	Alone()
}

// Decoder turns a YAML tree into a value. It goes on after an error, so that
// all of them are told at once, and remembers where each value stood.
type Decoder struct {
	// File is its name, as faults have it.
	File string
	// Where has the place of each value by its path: "routers[0].hosts".
	Where map[string]Position
	// Faults are those found so far.
	Faults fault.Faults
	// Suggest gives a hint for an unknown word among those that are known.
	Suggest func(word string, known []string) string
}

// Position is a place in the file, from 1.
type Position struct{ Line, Column int }

// At is where a value's text begins, behind its quote if it has one.
func At(n *yaml.Node) Position {
	if n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 {
		return Position{n.Line, n.Column + 1}
	}
	return Position{n.Line, n.Column}
}

// Fault notes an error at a position.
func (d *Decoder) Fault(p Position, what, hint string) {
	d.Faults = append(d.Faults, fault.Fault{File: d.File, Line: p.Line, Column: p.Column, What: what, Hint: hint})
}

// FaultAt notes an error at the value with the path, or at the nearest one
// around it.
func (d *Decoder) FaultAt(path, what, hint string) {
	for {
		if p, ok := d.Where[path]; ok {
			d.Fault(p, what, hint)
			return
		}
		cut := strings.LastIndexAny(path, ".[")
		if cut < 0 {
			d.Fault(Position{1, 1}, what, hint)
			return
		}
		path = path[:cut]
	}
}

// Decode reads a node into v, which is settable.
func (d *Decoder) Decode(n *yaml.Node, v reflect.Value, path string) {
	d.Where[path] = At(n)
	if groups, ok := v.Addr().Interface().(grouped); ok {
		groups.SetGroups(d.groups(n, path))
		return
	}
	if s, ok := v.Addr().Interface().(scalar); ok {
		d.scalar(n, s, path)
		return
	}
	if _, ok := v.Addr().Interface().(loneRow); ok && n.Kind == yaml.MappingNode {
		n = &yaml.Node{Kind: yaml.SequenceNode, Line: n.Line, Column: n.Column, Content: []*yaml.Node{n}}
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.Decode(n, v.Elem(), path)
	case reflect.Struct:
		d.mapping(n, path, func(key, value *yaml.Node) {
			d.field(v, key, value, path)
		})
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		d.mapping(n, path, func(key, value *yaml.Node) {
			item := reflect.New(v.Type().Elem()).Elem()
			d.Decode(value, item, Join(path, key.Value))
			v.SetMapIndex(reflect.ValueOf(key.Value), item)
		})
	case reflect.Slice:
		d.sequence(n, v, path)
	case reflect.Int:
		d.integer(n, v, path)
	case reflect.Bool:
		d.boolean(n, v, path)
	case reflect.String:
		if s, ok := d.text(n, path); ok {
			v.SetString(s)
		}
	}
}

// field reads the value of a struct's key.
func (d *Decoder) field(v reflect.Value, key, value *yaml.Node, path string) {
	var known []string
	for f, fv := range v.Fields() {
		tag := f.Tag.Get("yaml")
		if tag != "" && tag == key.Value {
			d.Decode(value, fv, Join(path, key.Value))
			return
		}
		if tag != "" {
			known = append(known, tag)
		}
	}
	d.Fault(At(key), "unknown key "+strconv.Quote(key.Value), d.Suggest(key.Value, known))
}

// mapping calls f for each pair of a mapping; a null is an empty one.
func (d *Decoder) mapping(n *yaml.Node, path string, f func(key, value *yaml.Node)) {
	if null(n) {
		return
	}
	if n.Kind != yaml.MappingNode {
		d.FaultAt(path, "keys and values are expected here", "write key: value, one a line, or {key: value, …}")
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if seen[key.Value] {
			d.Fault(At(key), "key "+strconv.Quote(key.Value)+" stands here twice", "")
			continue
		}
		seen[key.Value] = true
		f(key, value)
	}
}

// sequence reads a list; a null is an empty one.
func (d *Decoder) sequence(n *yaml.Node, v reflect.Value, path string) {
	v.Set(reflect.MakeSlice(v.Type(), 0, 0))
	if null(n) {
		return
	}
	if n.Kind != yaml.SequenceNode {
		d.FaultAt(path, "a list is expected here", "write [a, b] or one \"- \" line each")
		return
	}
	for i, value := range n.Content {
		item := reflect.New(v.Type().Elem()).Elem()
		d.Decode(value, item, path+"["+strconv.Itoa(i)+"]")
		v.Set(reflect.Append(v, item))
	}
}

// groups reads texts and lists of texts.
func (d *Decoder) groups(n *yaml.Node, path string) [][]string {
	if n.Kind != yaml.SequenceNode {
		d.FaultAt(path, "a list of hosts is expected here", "write hosts: [mail1.example:25, mail2.example:25]")
		return nil
	}
	var out [][]string
	for i, value := range n.Content {
		at := path + "[" + strconv.Itoa(i) + "]"
		if value.Kind == yaml.SequenceNode {
			var group []string
			d.Decode(value, reflect.ValueOf(&group).Elem(), at)
			out = append(out, group)
			continue
		}
		var host string
		d.Decode(value, reflect.ValueOf(&host).Elem(), at)
		out = append(out, []string{host})
	}
	return out
}

func (d *Decoder) scalar(n *yaml.Node, s scalar, path string) {
	text, ok := d.text(n, path)
	if !ok {
		return
	}
	if err := s.Parse(text); err != nil {
		d.FaultAt(path, strconv.Quote(text)+" does not fit", err.Error())
	}
}

func (d *Decoder) integer(n *yaml.Node, v reflect.Value, path string) {
	text, ok := d.text(n, path)
	if !ok {
		return
	}
	i, err := strconv.Atoi(text)
	if err != nil {
		d.FaultAt(path, strconv.Quote(text)+" is not a number", "")
		return
	}
	v.SetInt(int64(i))
}

func (d *Decoder) boolean(n *yaml.Node, v reflect.Value, path string) {
	text, ok := d.text(n, path)
	if !ok {
		return
	}
	if text != "true" && text != "false" {
		d.FaultAt(path, strconv.Quote(text)+" is neither true nor false", "")
		return
	}
	v.SetBool(text == "true")
}

// text is the value as it is written: YAML would make numbers and booleans of
// some of what our keys take as text.
func (d *Decoder) text(n *yaml.Node, path string) (string, bool) {
	switch {
	case null(n):
		d.FaultAt(path, "a value is missing", "")
	case n.Kind == yaml.ScalarNode && n.Anchor == "":
		return n.Value, true
	case n.Kind == yaml.MappingNode:
		d.FaultAt(path, "one value is expected here, not keys and values", "YAML reads a text with \": \" or a leading { as keys: put it in quotes")
	case n.Kind == yaml.SequenceNode:
		d.FaultAt(path, "one value is expected here, not a list", "YAML reads a text with a leading [ as a list: put it in quotes")
	default:
		d.FaultAt(path, "a plain value is expected here", "YAML reads a text with a leading * or & as a reference: put it in quotes")
	}
	return "", false
}

func null(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// Join is the path of a value in another.
func Join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
