package state

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"quorumta/internal/mail"
	"quorumta/queue/event"
)

var update = flag.Bool("update", false, "write what the scripts print into them")

// script runs a file of testdata. A line is an entry of one group, or of
// several that are separated by "|":
//
//	[+time] [term=decided/committed] name: event key=value …; event …
//
// where name stands for a message's id ("-" for none), and times are offsets
// from 2026-01-01. "state" prints the state. What is printed follows its line
// after "> ".
type script struct {
	t     *testing.T
	store mapStore
	ids   map[string]mail.MessageID
	index uint64
	line  string
}

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.script")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".script"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := (&script{t: t, store: mapStore{}, ids: map[string]mail.MessageID{}}).run(string(text))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			compareLines(t, got, string(text))
		})
	}
}

func compareLines(t *testing.T, got, want string) {
	t.Helper()
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			t.Fatalf("line %d:\n got %s\nwant %s", i+1, g[i], w[i])
		}
	}
	if len(g) != len(w) {
		t.Fatalf("%d lines instead of %d", len(g), len(w))
	}
}

func (s *script) run(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, ">") {
			continue
		}
		out.WriteString(line + "\n")
		s.line = line
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case line == "state":
			for l := range strings.Lines(s.names(Dump(s.store))) {
				out.WriteString("> " + l)
			}
		default:
			out.WriteString("> " + s.fold(line) + "\n")
		}
		checkInvariants(s.t, s.store)
	}
	return out.String()
}

// names puts the script's names for ids and the offsets for times.
func (s *script) names(text string) string {
	for name, id := range s.ids {
		text = strings.ReplaceAll(text, string(id), name)
	}
	return strings.ReplaceAll(text, "2026-01-", "")
}

func (s *script) fold(line string) string {
	entry := event.Entry{Term: 1}
	term, at := uint64(1), epoch
	for text := range strings.SplitSeq(line, "|") {
		fields := strings.Fields(text)
		for !strings.HasSuffix(fields[0], ":") {
			if offset, ok := strings.CutPrefix(fields[0], "+"); ok {
				at = epoch.Add(s.duration(offset))
			} else if _, err := fmt.Sscanf(fields[0], "term=%d/%d", &entry.Term, &term); err != nil {
				s.t.Fatalf("%s: %v", s.line, err)
			}
			fields = fields[1:]
		}
		g := event.Group{ID: s.id(strings.TrimSuffix(fields[0], ":")), At: at}
		for one := range strings.SplitSeq(strings.Join(fields[1:], " "), ";") {
			if words := strings.Fields(one); len(words) > 0 {
				g.Events = append(g.Events, s.event(g.ID, words))
			}
		}
		entry.Groups = append(entry.Groups, g)
	}
	s.index++
	before := mapStore{}
	for k, v := range s.store {
		before[k] = v
	}
	var out []string
	changed := false
	for _, r := range Fold(s.store, s.store, s.index, term, reencode(s.t, entry)) {
		out = append(out, r.String())
		changed = changed || r == Applied
	}
	if !changed && !s.store.equal(before) {
		s.t.Errorf("%s: a refused group has changed the state", line)
	}
	return strings.Join(out, " ")
}

// reencode sends an entry through its encoding, as the log does.
func reencode(t interface{ Fatal(...any) }, e event.Entry) event.Entry {
	decoded, err := event.Decode(event.Append(nil, e))
	if err != nil {
		t.Fatal(err)
	}
	return decoded
}

func (s *script) id(name string) mail.MessageID {
	if name == "-" {
		return ""
	}
	if s.ids[name] == "" {
		s.ids[name] = mail.NewMessageID(epoch, 1, [5]byte{4: byte(len(s.ids) + 1)})
	}
	return s.ids[name]
}

func (s *script) duration(text string) time.Duration {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, _ := strconv.Atoi(days)
		return time.Duration(n) * 24 * time.Hour
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		s.t.Fatalf("%s: %v", s.line, err)
	}
	return d
}

// event makes an event from its name and the names of its fields.
func (s *script) event(id mail.MessageID, words []string) event.Event {
	e, ok := map[string]event.Event{
		"part": &event.BodyPart{}, "accepted": &event.Accepted{ID: id}, "abandoned": &event.Abandoned{},
		"claimed": &event.Claimed{}, "returned": &event.Returned{}, "doubted": &event.Doubted{},
		"delivered": &event.Delivered{}, "deferred": &event.Deferred{}, "failed": &event.Failed{},
		"expired": &event.Expired{}, "warned": &event.Warned{}, "expanded": &event.Expanded{},
		"held": &event.Held{}, "released": &event.Released{}, "removed": &event.Removed{},
		"rerouted": &event.Rerouted{}, "bounced": &event.Bounced{}, "pruned": &event.Pruned{},
		"swept": &event.Swept{}, "retried": &event.Retried{}, "renewed": &event.Renewed{},
		"suspended": &event.Suspended{}, "resumed": &event.Resumed{},
		"edited": &event.Edited{}, "noted": &event.Noted{}, "unnoted": &event.Unnoted{},
	}[words[0]]
	if !ok {
		s.t.Fatalf("%s: no event is called %q", s.line, words[0])
	}
	for _, word := range words[1:] {
		key, value, _ := strings.Cut(word, "=")
		s.set(reflect.ValueOf(e).Elem(), key, value)
	}
	if a, ok := e.(*event.Accepted); ok && a.Parts == 0 && a.Size == 0 {
		a.Size = int64(len(a.Content))
	}
	return e
}

// set sets a field, also one of the attempt or of the envelope.
func (s *script) set(e reflect.Value, key, value string) {
	switch key {
	case "to", "into":
		var list []mail.Recipient
		for name := range strings.SplitSeq(value, ",") {
			list = append(list, mail.Recipient{Address: mail.Address{Local: name, Domain: "x"}})
		}
		if a, ok := e.Addr().Interface().(*event.Accepted); ok {
			a.Envelope.Recipients = list
			return
		}
		if x, ok := e.Addr().Interface().(*event.Edited); ok {
			for _, r := range list {
				name, instead, _ := strings.Cut(r.Address.Local, "@")
				n, _ := strconv.Atoi(instead)
				r.Address.Local = name
				x.Add = append(x.Add, event.Addition{Recipient: r, Instead: uint32(n)})
			}
			return
		}
		x := e.Addr().Interface().(*event.Expanded)
		for _, r := range list {
			x.Into = append(x.Into, event.Child{Recipient: r})
		}
		return
	case "data":
		e.Addr().Interface().(*event.Expanded).Handling.Data = value
		return
	case "items":
		x := e.Addr().Interface().(*event.Expanded)
		for item := range strings.SplitSeq(value, ",") {
			x.Into = append(x.Into, event.Child{Recipient: mail.Recipient{Original: "alias"}, Item: item})
		}
		return
	case "code":
		code, _ := strconv.Atoi(value)
		e.FieldByName("Attempt").FieldByName("Reply").FieldByName("Code").SetInt(int64(code))
		return
	}
	f := e.FieldByNameFunc(func(name string) bool { return strings.EqualFold(name, key) })
	if attempt := e.FieldByName("Attempt"); !f.IsValid() && attempt.IsValid() {
		f = attempt.FieldByNameFunc(func(name string) bool { return strings.EqualFold(name, key) })
	}
	if !f.IsValid() {
		s.t.Fatalf("%s: no field %q", s.line, key)
	}
	s.setValue(f, value)
}

func (s *script) setValue(f reflect.Value, value string) {
	number, _ := strconv.ParseUint(value, 10, 64)
	switch x := f.Addr().Interface().(type) {
	case *time.Time:
		*x = epoch.Add(s.duration(strings.TrimPrefix(value, "+")))
	case *mail.MessageID:
		*x = s.id(value)
	case *[]mail.MessageID:
		for name := range strings.SplitSeq(value, ",") {
			*x = append(*x, s.id(name))
		}
	case *event.Process:
		*x = event.Process{Node: value, Boot: 1}
	case *event.Submitter:
		*x = event.Submitter{Process: event.Process{Node: value, Boot: 1}, Seq: 1}
	case *[]byte:
		*x = []byte(value)
	case *[32]byte:
		copy(x[:], value)
	case *[]uint32:
		for n := range strings.SplitSeq(value, ",") {
			v, _ := strconv.Atoi(n)
			*x = append(*x, uint32(v))
		}
	case *[]string:
		*x = strings.Split(value, ",")
	default:
		switch f.Kind() {
		case reflect.String:
			f.SetString(value)
		case reflect.Bool:
			f.SetBool(value == "true")
		case reflect.Int64:
			f.SetInt(int64(number))
		default:
			f.SetUint(number)
		}
	}
}
