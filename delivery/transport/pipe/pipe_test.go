package pipe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"quorumta/delivery/transport"
	"quorumta/delivery/transport/local"
	"quorumta/delivery/transport/owner"
	"quorumta/internal/mail"
	"quorumta/internal/policy"
)

// source is a message.
type source struct {
	content string
	facts   policy.Facts
}

func (s source) Open() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(s.content)), nil }
func (s source) Facts(int) *policy.Facts      { return &s.facts }

func message(content string) *transport.Message {
	to := mail.Address{Local: "anna; rm -rf /", Domain: "them.example"}
	from := mail.Address{Local: "me", Domain: "us.example"}
	return &transport.Message{
		ID: "03e6nkxc0001w1vmbsd5", From: from, Recipients: []mail.Recipient{{Address: to}},
		Size: int64(len(content)), Content: strings.NewReader(content),
		Again: source{content, policy.Facts{Sender: from, Rcpt: to}},
	}
}

// template is one with its expressions.
func template(t *testing.T, s string) local.Template {
	t.Helper()
	env, err := policy.NewEnv(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	x, err := local.Parse(s, func(expr string) (*policy.Text, error) { return env.Text(expr) })
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// shell runs a script of sh, as the command that an operator has written.
func shell(t *testing.T, script string, arguments ...string) Options {
	t.Helper()
	o := Options{Command: "/bin/sh", Spool: t.TempDir(), Arguments: []local.Template{template(t, "-c"), template(t, script), template(t, "command")}}
	for _, a := range arguments {
		o.Arguments = append(o.Arguments, template(t, a))
	}
	return o
}

func send(t *testing.T, ctx context.Context, o Options, m *transport.Message) (transport.Result, error) {
	t.Helper()
	conn, err := New(o).Open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Leave(ctx)
	return conn.Send(ctx, m)
}

// TestCommand: what it reads, its arguments and its environment, in which nothing
// of the node's is.
func TestCommand(t *testing.T) {
	t.Setenv("SECRET", "of the node")
	dir := t.TempDir()
	o := shell(t, `cat > "$1"; printf '%s\n' "$2" "$3" > "$1.args"; env > "$1.env"; pwd >> "$1.args"`,
		filepath.Join(dir, "got"), "${rcpt.local}", "<${sender.address}>")
	o.Environment = map[string]local.Template{"LIST": template(t, "all-${rcpt.domain}")}
	asked := false
	m := message("Subject: x\r\n\r\n.a\r\n")
	m.BeforeDot = func() error {
		asked = true
		if _, err := os.Stat(filepath.Join(dir, "got")); err == nil {
			t.Error("it runs before the last look")
		}
		return nil
	}
	res, err := send(t, t.Context(), o, m)
	if err != nil || !res.Dot || !asked || res.FinalOf(0).Code != 250 {
		t.Fatalf("%+v, %v", res, err)
	}
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
		}
		return string(b)
	}
	if got, want := read("got"), "Return-Path: <me@us.example>\nDelivered-To: "+m.Recipients[0].Address.String()+"\nSubject: x\n\n.a\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := read("got.args"), "anna; rm -rf /\n<me@us.example>\n/\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	env := read("got.env")
	for _, want := range []string{"LOCAL_PART=anna; rm -rf /\n", "DOMAIN=them.example\n", "SENDER=me@us.example\n", "MESSAGE_ID=03e6nkxc0001w1vmbsd5\n", "LIST=all-them.example\n", "RECIPIENT="} {
		if !strings.Contains(env, want) {
			t.Errorf("no %q in\n%s", want, env)
		}
	}
	if strings.Contains(env, "SECRET") {
		t.Errorf("the node's environment:\n%s", env)
	}
	if left, _ := os.ReadDir(o.Spool); len(left) > 0 {
		t.Errorf("the spool has %v", left)
	}
}

// TestExitStatus: sysexits.h, and what the operator has said instead.
func TestExitStatus(t *testing.T) {
	for _, c := range []struct {
		script    string
		temporary []int
		want      string
	}{
		{"exit 0", nil, "250 2.0.0 the command took it"},
		{"exit 1", nil, "554 5.3.0 the command ended with status 1"},
		{"exit 67", nil, "554 5.1.1 the command ended with status 67 (EX_NOUSER)"},
		{"exit 75", nil, "451 4.3.0 the command ended with status 75 (EX_TEMPFAIL)"},
		{"exit 73", nil, "451 4.2.0 the command ended with status 73 (EX_CANTCREAT)"},
		{"exit 75", []int{1}, "554 5.3.0 the command ended with status 75 (EX_TEMPFAIL)"},
		{"exit 1", []int{1}, "451 4.3.0 the command ended with status 1"},
		{"exit 127", []int{}, "451 4.3.0 the command ended with status 127"},
		{"kill -9 $$", nil, "451 4.3.0 the command was killed by signal killed"},
		{`echo no room; printf 'for \033[1myou\r\n' >&2; exit 1`, nil, "554 5.3.0 the command ended with status 1:\nno room\nfor ?[1myou"},
		{"echo fine", nil, "250 2.0.0 the command took it"},
	} {
		o := shell(t, c.script)
		o.Temporary = c.temporary
		res, err := send(t, t.Context(), o, message("x\r\n"))
		if got := res.FinalOf(0).String(); err != nil || got != c.want || !res.Dot {
			t.Errorf("%s: %q, want %q, %v", c.script, got, c.want, err)
		}
	}
}

// A command that reads nothing is no failure, nor one that prints without end.
func TestInputAndOutputAreLarge(t *testing.T) {
	o := shell(t, "head -c 10000000 /dev/zero | tr '\\0' y; exit 1")
	o.Output = 100
	res, err := send(t, t.Context(), o, message(strings.Repeat("0123456789\r\n", 1_000_000)))
	if err != nil || !strings.HasSuffix(res.FinalOf(0).Text, ":\n"+strings.Repeat("y", 100)) {
		t.Errorf("%.300v, %v", res.FinalOf(0), err)
	}
}

// TestKilled: when its time is over, or the node ends, the whole process group is
// killed, and what came of it is not known.
func TestKilled(t *testing.T) {
	for name, ours := range map[string]bool{"time": false, "end": true} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			started := filepath.Join(dir, "started")
			o := shell(t, `trap '' TERM; sleep 1000 & echo $! > "$1.new"; mv "$1.new" "$1"; wait; wait`, started)
			o.Timeout = time.Hour
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if !ours {
				o.Timeout = time.Second
			}
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			go func() {
				for ours && ctx.Err() == nil {
					if _, err := os.Stat(started); err == nil {
						cancel()
					}
					select {
					case <-tick.C:
					case <-ctx.Done():
					}
				}
			}()
			res, err := send(t, ctx, o, message("x\r\n"))
			var e *transport.Error
			if !errors.As(err, &e) || e.Ours != ours || e.Phase != transport.PhaseDot || !res.Dot || res.FinalOf(0).Code != 0 {
				t.Fatalf("%+v, %v", res, err)
			}
			b, err := os.ReadFile(started)
			if err != nil {
				t.Skip("the command had no time to begin")
			}
			var child int
			if _, err := fmt.Sscan(string(b), &child); err != nil {
				t.Fatal(err)
			}
			late := time.After(10 * time.Second)
			for syscall.Kill(child, 0) == nil && !zombie(child) {
				select {
				case <-late:
					t.Fatalf("process %d of the group lives", child)
				case <-tick.C:
				}
			}
		})
	}
}

// zombie: it has ended, and whoever inherited it has not looked.
func zombie(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(b), ") Z ")
}

// Nothing runs where the last look says no, or the content cannot be read; and a
// command that cannot run waits for the operator.
func TestNotRun(t *testing.T) {
	stale := errors.New("stale")
	ran := filepath.Join(t.TempDir(), "ran")
	for name, change := range map[string]func(*transport.Message){
		"the look":    func(m *transport.Message) { m.BeforeDot = func() error { return stale } },
		"the content": func(m *transport.Message) { m.Content = io.MultiReader(m.Content, bad{stale}) },
	} {
		m := message("x\r\n")
		change(m)
		res, err := send(t, t.Context(), shell(t, `touch "$1"`, ran), m)
		var e *transport.Error
		if !errors.As(err, &e) || !e.Ours || !errors.Is(err, stale) || res.Dot || res.FinalOf(0).Code != 0 {
			t.Errorf("%s: %+v, %v", name, res, err)
		}
	}
	if _, err := os.Stat(ran); err == nil {
		t.Error("it ran")
	}
	for text, o := range map[string]Options{
		"no such file":  {Command: "/no/such/command", Spool: t.TempDir()},
		"evaluate":      shell(t, "true", `${rcpt.domain.split(".")[7]}`),
		"made ready":    {Command: "/bin/true", Spool: "/no/such/folder"},
		"exec format e": {Command: script(t, "no program"), Spool: t.TempDir()},
	} {
		res, err := send(t, t.Context(), o, message("x\r\n"))
		if r := res.FinalOf(0); err != nil || r.Code != 451 || res.Dot || !strings.Contains(r.Text, text) {
			t.Errorf("%s: %+v, %v", text, res, err)
		}
	}
}

type bad struct{ err error }

func (b bad) Read([]byte) (int, error) { return 0, b.err }

func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// It runs as its own user, who reads the message nevertheless.
func TestUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	o := shell(t, `test "$(id -u):$(id -G):$USER:$LOGNAME" = "$1" && grep -q '^x$' || exit 1`, "65534:65534:nobody:nobody")
	var err error
	if o.Owner, err = owner.Lookup("nobody"); err != nil {
		t.Fatal(err)
	}
	if res, err := send(t, t.Context(), o, message("x\r\n")); err != nil || res.FinalOf(0).Code != 250 {
		t.Errorf("%+v, %v", res, err)
	}
}

// No more run at once than may.
func TestProcesses(t *testing.T) {
	o := shell(t, "exit 0")
	o.Processes = 2
	p := New(o)
	var conns []transport.Conn
	for range 2 {
		c, err := p.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var e *transport.Error
	if _, err := p.Open(ctx); !errors.As(err, &e) || !e.Ours {
		t.Errorf("%v", err)
	}
	conns[0].Leave(t.Context())
	if _, err := p.Open(t.Context()); err != nil {
		t.Error(err)
	}
}
