package config

import (
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// scalar is a value that is written as one text.
type scalar interface {
	Parse(s string) error
}

// loneRow is a list of which a single row may stand without the list.
type loneRow interface {
	Alone()
}

// decoder turns a YAML tree into a File. It goes on after an error, so that
// all of them are told at once, and remembers where each value stood.
type decoder struct {
	file   string
	where  map[string]position // by path: "routers[0].hosts"
	faults []Fault
}

type position struct{ line, column int }

// at is where a value's text begins, behind its quote if it has one.
func at(n *yaml.Node) position {
	if n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 {
		return position{n.Line, n.Column + 1}
	}
	return position{n.Line, n.Column}
}

// fault notes an error at a position.
func (d *decoder) fault(p position, what, hint string) {
	d.faults = append(d.faults, Fault{File: d.file, Line: p.line, Column: p.column, What: what, Hint: hint})
}

// faultAt notes an error at the value with the path, or at the nearest one
// around it.
func (d *decoder) faultAt(path, what, hint string) {
	for {
		if p, ok := d.where[path]; ok {
			d.fault(p, what, hint)
			return
		}
		cut := strings.LastIndexAny(path, ".[")
		if cut < 0 {
			d.fault(position{1, 1}, what, hint)
			return
		}
		path = path[:cut]
	}
}

// decode reads a node into v, which is settable.
func (d *decoder) decode(n *yaml.Node, v reflect.Value, path string) {
	d.where[path] = at(n)
	if hosts, ok := v.Addr().Interface().(*Hosts); ok {
		*hosts = d.hosts(n, path)
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
		d.decode(n, v.Elem(), path)
	case reflect.Struct:
		d.mapping(n, path, func(key, value *yaml.Node) {
			d.field(v, key, value, path)
		})
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		d.mapping(n, path, func(key, value *yaml.Node) {
			item := reflect.New(v.Type().Elem()).Elem()
			d.decode(value, item, join(path, key.Value))
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
func (d *decoder) field(v reflect.Value, key, value *yaml.Node, path string) {
	var known []string
	for f, fv := range v.Fields() {
		tag := f.Tag.Get("yaml")
		if tag != "" && tag == key.Value {
			d.decode(value, fv, join(path, key.Value))
			return
		}
		if tag != "" {
			known = append(known, tag)
		}
	}
	d.fault(at(key), "unknown key "+strconv.Quote(key.Value), suggest(key.Value, known))
}

// mapping calls f for each pair of a mapping; a null is an empty one.
func (d *decoder) mapping(n *yaml.Node, path string, f func(key, value *yaml.Node)) {
	if null(n) {
		return
	}
	if n.Kind != yaml.MappingNode {
		d.faultAt(path, "keys and values are expected here", "write key: value, one a line, or {key: value, …}")
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if seen[key.Value] {
			d.fault(at(key), "key "+strconv.Quote(key.Value)+" stands here twice", "")
			continue
		}
		seen[key.Value] = true
		f(key, value)
	}
}

// sequence reads a list; a null is an empty one.
func (d *decoder) sequence(n *yaml.Node, v reflect.Value, path string) {
	v.Set(reflect.MakeSlice(v.Type(), 0, 0))
	if null(n) {
		return
	}
	if n.Kind != yaml.SequenceNode {
		d.faultAt(path, "a list is expected here", "write [a, b] or one \"- \" line each")
		return
	}
	for i, value := range n.Content {
		item := reflect.New(v.Type().Elem()).Elem()
		d.decode(value, item, path+"["+strconv.Itoa(i)+"]")
		v.Set(reflect.Append(v, item))
	}
}

// hosts reads texts and lists of texts.
func (d *decoder) hosts(n *yaml.Node, path string) Hosts {
	if n.Kind != yaml.SequenceNode {
		d.faultAt(path, "a list of hosts is expected here", "write hosts: [mail1.example:25, mail2.example:25]")
		return nil
	}
	var out Hosts
	for i, value := range n.Content {
		at := path + "[" + strconv.Itoa(i) + "]"
		if value.Kind == yaml.SequenceNode {
			var group []string
			d.decode(value, reflect.ValueOf(&group).Elem(), at)
			out = append(out, group)
			continue
		}
		var host string
		d.decode(value, reflect.ValueOf(&host).Elem(), at)
		out = append(out, []string{host})
	}
	return out
}

func (d *decoder) scalar(n *yaml.Node, s scalar, path string) {
	text, ok := d.text(n, path)
	if !ok {
		return
	}
	if err := s.Parse(text); err != nil {
		d.faultAt(path, strconv.Quote(text)+" does not fit", err.Error())
	}
}

func (d *decoder) integer(n *yaml.Node, v reflect.Value, path string) {
	text, ok := d.text(n, path)
	if !ok {
		return
	}
	i, err := strconv.Atoi(text)
	if err != nil {
		d.faultAt(path, strconv.Quote(text)+" is not a number", "")
		return
	}
	v.SetInt(int64(i))
}

func (d *decoder) boolean(n *yaml.Node, v reflect.Value, path string) {
	text, ok := d.text(n, path)
	if !ok {
		return
	}
	if text != "true" && text != "false" {
		d.faultAt(path, strconv.Quote(text)+" is neither true nor false", "")
		return
	}
	v.SetBool(text == "true")
}

// text is the value as it is written: YAML would make numbers and booleans of
// some of what our keys take as text.
func (d *decoder) text(n *yaml.Node, path string) (string, bool) {
	switch {
	case null(n):
		d.faultAt(path, "a value is missing", "")
	case n.Kind == yaml.ScalarNode && n.Anchor == "":
		return n.Value, true
	case n.Kind == yaml.MappingNode:
		d.faultAt(path, "one value is expected here, not keys and values", "YAML reads a text with \": \" or a leading { as keys: put it in quotes")
	case n.Kind == yaml.SequenceNode:
		d.faultAt(path, "one value is expected here, not a list", "YAML reads a text with a leading [ as a list: put it in quotes")
	default:
		d.faultAt(path, "a plain value is expected here", "YAML reads a text with a leading * or & as a reference: put it in quotes")
	}
	return "", false
}

func null(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
