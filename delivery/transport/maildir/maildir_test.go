package maildir

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quorumta/delivery/transport"
	"quorumta/delivery/transport/owner"
	"quorumta/internal/mail"
	"quorumta/internal/policy"
)

// source is a message with its content.
type source struct {
	content string
	m       *transport.Message
	err     error
	data    string
}

func (s source) Open() (io.ReadCloser, error) {
	return io.NopCloser(io.MultiReader(strings.NewReader(s.content), failing{s.err})), nil
}

func (s source) Facts(i int) *policy.Facts {
	return &policy.Facts{Sender: s.m.From, Rcpt: s.m.Recipients[i].Address, Data: s.data}
}

// failing ends with an error, or as usual.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	return 0, io.EOF
}

func message(content string, to ...string) *transport.Message {
	m := &transport.Message{From: mail.Address{Local: "me", Domain: "us.example"}, Size: int64(len(content))}
	for _, a := range to {
		at := strings.LastIndexByte(a, '@')
		m.Recipients = append(m.Recipients, mail.Recipient{Address: mail.Address{Local: a[:at], Domain: a[at+1:]}})
	}
	s := source{content: content, m: m}
	m.Again = s
	m.Content, _ = s.Open()
	return m
}

func text(t *testing.T, expr string) *policy.Text {
	t.Helper()
	env, err := policy.NewEnv(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	x, err := env.Text(expr)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// boxes are Maildirs below a folder.
func boxes(t *testing.T, dir string, quota Quota) *Transport {
	t.Helper()
	return New(Options{
		Path: text(t, `"`+dir+`/" + rcpt.domain + "/" + rcpt.local`), Hostname: "us:1/x", Quota: quota,
	})
}

func send(t *testing.T, b *Transport, m *transport.Message) (transport.Result, error) {
	t.Helper()
	conn, err := b.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Leave(t.Context())
	return conn.Send(t.Context(), m)
}

func codes(res transport.Result) string {
	var words []string
	for i := range res.Rcpts {
		words = append(words, strings.TrimSpace(fmt.Sprintf("%d %s", res.FinalOf(i).Code, res.FinalOf(i).Enhanced)))
	}
	return strings.Join(words, ", ")
}

// files are the names below a folder, without the folders.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, strings.TrimPrefix(path, dir+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestDelivers(t *testing.T) {
	dir := t.TempDir()
	b := boxes(t, dir, Quota{})
	asked := 0
	m := message("Subject: x\r\n\r\na\r\n.b\r\n", "anna@them.example", "otto@them.example")
	m.BeforeDot = func() error {
		asked++
		for _, name := range files(t, dir) {
			if !strings.Contains(name, "/tmp/") {
				t.Errorf("before the last look there is %s", name)
			}
		}
		return nil
	}
	res, err := send(t, b, m)
	if err != nil || !res.Dot || asked != 1 || codes(res) != "250 2.0.0, 250 2.0.0" {
		t.Fatalf("%+v, %v, %d looks", res, err, asked)
	}
	names := files(t, dir)
	if len(names) != 2 {
		t.Fatalf("%v", names)
	}
	for i, who := range []string{"anna", "otto"} {
		if !strings.HasPrefix(names[i], "them.example/"+who+"/new/") || !strings.Contains(names[i], `.us\0721\057x,S=`) {
			t.Errorf("%s", names[i])
		}
		got, err := os.ReadFile(filepath.Join(dir, names[i]))
		want := "Return-Path: <me@us.example>\nDelivered-To: " + who + "@them.example\nSubject: x\n\na\n.b\n"
		if err != nil || string(got) != want {
			t.Errorf("%q, %v", got, err)
		}
		if s := fmt.Sprintf(",S=%d,W=%d", len(want), len(want)+strings.Count(want, "\n")); !strings.HasSuffix(names[i], s) {
			t.Errorf("%s, want %s", names[i], s)
		}
	}
}

// Nothing is left where the message may not go out, or cannot be read.
func TestNothingIsLeft(t *testing.T) {
	stale := errors.New("stale")
	for name, change := range map[string]func(*transport.Message){
		"the look": func(m *transport.Message) { m.BeforeDot = func() error { return stale } },
		"the content": func(m *transport.Message) {
			m.Content = io.MultiReader(m.Content, failing{stale})
		},
		"the content, later": func(m *transport.Message) {
			m.Again = source{content: "x", m: m, err: stale}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			m := message("Subject: x\r\n\r\n", "anna@them.example", "otto@them.example")
			change(m)
			res, err := send(t, boxes(t, dir, Quota{}), m)
			var e *transport.Error
			if !errors.As(err, &e) || !e.Ours || !errors.Is(err, stale) || res.Dot || codes(res) != "0, 0" {
				t.Errorf("%+v, %v", res, err)
			}
			if names := files(t, dir); len(names) > 0 {
				t.Errorf("there is %v", names)
			}
		})
	}
}

// A mailbox that cannot be written is its recipient's failure alone.
func TestFaultsAreTheirRecipients(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "them.example"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "them.example", "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "them.example", "late", "new"), 0o700); err != nil {
		t.Fatal(err)
	}
	m := message("x\r\n", "file@them.example", "../../etc@them.example", ".ssh@them.example", "late@them.example", "ok@them.example")
	m.BeforeDot = func() error { return os.RemoveAll(filepath.Join(dir, "them.example", "late", "new")) }
	res, err := send(t, boxes(t, dir, Quota{}), m)
	if want := "451 4.3.0, 553 5.1.3, 553 5.1.3, 451 4.3.0, 250 2.0.0"; err != nil || codes(res) != want {
		t.Errorf("%s, want %s: %+v, %v", codes(res), want, res.Finals, err)
	}
	if text := res.Finals[0].Text; !strings.Contains(text, "them.example/file") || !strings.Contains(text, "as the node's user") {
		t.Errorf("%s", text)
	}
	for _, name := range files(t, dir) {
		if strings.Contains(name, "/tmp/") {
			t.Errorf("%s is left", name)
		}
	}
}

// A path that fails, or is none, waits for the operator.
func TestPath(t *testing.T) {
	for _, expr := range []string{`"boxes/" + rcpt.local`, `"/tmp/../etc/" + rcpt.local`, `"/tmp/" + rcpt.domain.split(".")[7]`} {
		b := New(Options{Path: text(t, expr), Hostname: "us"})
		m := message("x\r\n", "a@them.example")
		m.BeforeDot = func() error { t.Error("asked"); return nil }
		if res, err := send(t, b, m); err != nil || codes(res) != "451 4.3.5" || res.Dot {
			t.Errorf("%s: %+v, %v", expr, res, err)
		}
	}
}

// TestAlias: without a path it is the one that an alias names.
func TestAlias(t *testing.T) {
	dir := t.TempDir()
	for data, want := range map[string]string{filepath.Join(dir, "archive") + "/": "250 2.0.0", "": "451 4.3.5", dir + "/../x": "451 4.3.5"} {
		m := message("x\r\n", ".a/b@them.example")
		m.Again = source{m: m, data: data}
		if res, err := send(t, New(Options{Hostname: "us"}), m); err != nil || codes(res) != want {
			t.Errorf("%q: %+v, %v", data, res, err)
		}
	}
	if names := files(t, filepath.Join(dir, "archive", "new")); len(names) != 1 {
		t.Errorf("%v", names)
	}
}

func TestQuota(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	b := boxes(t, dir, Quota{Bytes: 1000, Messages: 3})
	b.o.Now = func() time.Time { return now }
	box := filepath.Join(dir, "them.example", "anna")
	deliver := func(size int, want string) {
		t.Helper()
		if res, err := send(t, b, message(strings.Repeat("x", size-2)+"\r\n", "anna@them.example")); err != nil || codes(res) != want {
			t.Errorf("%s, want %s: %+v, %v", codes(res), want, res.Finals, err)
		}
	}
	const full = "452 4.2.2"
	deliver(2000, full)
	deliver(600, "250 2.0.0")
	deliver(600, full)
	deliver(100, "250 2.0.0")
	sizes, err := os.ReadFile(filepath.Join(box, sizeFile))
	if lines := strings.Split(string(sizes), "\n"); err != nil || len(lines) != 4 || lines[0] != "1000S,3C" {
		t.Errorf("%q, %v", sizes, err)
	}
	// A reader moves one to Trash, which does not count: the file says nothing of
	// that, but it has several lines, so it is counted anew.
	trash := filepath.Join(box, ".Trash", "cur")
	if err := os.MkdirAll(trash, 0o700); err != nil {
		t.Fatal(err)
	}
	first := files(t, filepath.Join(box, "new"))[0]
	if err := os.Rename(filepath.Join(box, "new", first), filepath.Join(trash, first)); err != nil {
		t.Fatal(err)
	}
	deliver(600, "250 2.0.0")
	deliver(10, "250 2.0.0")
	deliver(10, full) // three messages
	// One line, just counted, is believed for a while.
	if _, err := b.o.Quota.recount(box); err != nil {
		t.Fatal(err)
	}
	for _, name := range files(t, filepath.Join(box, "new")) {
		if err := os.Remove(filepath.Join(box, "new", name)); err != nil {
			t.Fatal(err)
		}
	}
	deliver(10, full)
	now = now.Add(stale + time.Minute)
	deliver(10, "250 2.0.0")
	// Another quota, or what cannot be read, is counted anew.
	for _, content := range []string{"5S\n999 9\n", "1000S,3C\nwhat\n", strings.Repeat("1000S,3C\n999 9\n", 1000)} {
		if err := os.WriteFile(filepath.Join(box, sizeFile), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := b.o.Quota.fits(box, 10, now); err != nil {
			t.Errorf("%.20q: %v", content, err)
		}
	}
}

// lookup is an owner that must be there.
func lookup(t *testing.T, name string) owner.Owner {
	t.Helper()
	o, err := owner.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	return o
}
