package delivery

import (
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	gosmtp "github.com/emersion/go-smtp"

	"quorumta/delivery/route"
	"quorumta/internal/policy"
	"quorumta/queue"
)

// eximErrors is a list with an owner, and routers that deliver: one names a
// manager for errors, one nobody, and one nothing.
const eximErrors = `
exim_path = %[1]s
primary_hostname = us.example
spool_directory = %[2]s
log_file_path = %[2]s/%%slog
keep_environment =
queue_only
begin routers
list:
  driver = redirect
  local_part_prefix = list-
  data = $local_part@a.example
  errors_to = owner@o.example
named:
  driver = manualroute
  local_parts = named
  errors_to = manager@m.example
  route_list = * 127.0.0.1
  self = send
  transport = smtp
quiet:
  driver = manualroute
  local_parts = quiet
  errors_to =
  route_list = * 127.0.0.1
  self = send
  transport = smtp
rest:
  driver = manualroute
  route_list = * 127.0.0.1
  self = send
  transport = smtp
begin transports
smtp:
  driver = smtp
  port = %[3]d
  hosts_try_fastopen =
  allow_localhost
`

// told is the reverse-path that mail for an address came with, and who got the
// report that it failed; "" for nobody.
type told struct{ path, report string }

// TestErrorsAsExim: for lists and for routers that deliver, failures are reported
// to whom Exim reports them, and mail has the same reverse-path.
func TestErrorsAsExim(t *testing.T) {
	want := map[string]told{
		"list-named": {"manager@m.example", "manager@m.example"}, "list-quiet": {}, "list-plain": {"owner@o.example", "owner@o.example"},
		"named": {"manager@m.example", "manager@m.example"}, "quiet": {}, "plain": {"ann@sender.example", "ann@sender.example"},
	}
	locals := []string{"list-named", "list-quiet", "list-plain", "named", "quiet", "plain"}
	ours := map[string]told{}
	for _, local := range locals {
		synctest.Test(t, func(t *testing.T) { ours[local] = failure(t, local) })
	}
	if !maps.Equal(ours, want) {
		t.Errorf("ours are %v\nnot %v", ours, want)
	}
	if theirs := eximFailures(t, locals); !maps.Equal(theirs, want) {
		t.Errorf("Exim's are %v\nnot %v", theirs, want)
	}
}

// failure has a message refused by its last host.
func failure(t *testing.T, local string) told {
	h := open(t, nil)
	only := func(local string) route.Router {
		env, err := policy.NewEnv(nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		r := internet()
		r.Name = local
		if r.If, err = env.Condition(fmt.Sprintf("rcpt.local == %q", local)); err != nil {
			t.Fatal(err)
		}
		return r
	}
	h.rules(func(r *Rules) {
		var all []route.Router
		for _, member := range []string{"named", "quiet", "plain"} {
			all = append(all, errorsTo(t, alias(t, "list-"+member, fmt.Sprintf(`"%s@a.example"`, member)), `"owner@o.example"`))
		}
		r.Router = table(t, h.world, append(all, errorsTo(t, only("named"), `"manager@m.example"`), errorsTo(t, only("quiet"), `""`), internet())...)
	})
	a := h.remote("a.example")
	var mu sync.Mutex
	var out told
	a.reply = func(line string) string {
		mu.Lock()
		defer mu.Unlock()
		if rest, ok := strings.CutPrefix(line, "MAIL FROM:<"); ok {
			out.path, _, _ = strings.Cut(rest, ">")
		}
		if strings.HasPrefix(line, "RCPT") {
			return "550 5.1.1 unknown"
		}
		return ""
	}
	others := []*remote{h.remote("o.example"), h.remote("m.example"), h.remote("sender.example")}
	h.submit(func(s *queue.Submission) { s.Envelope.From.Local, s.Envelope.From.Domain = "ann", "sender.example" }, local+"@a.example")
	h.waitEmpty()
	for _, r := range others {
		for _, l := range r.got() {
			out.report += strings.Join(l.to, " ")
		}
	}
	return out
}

// sink is Exim's next host: it refuses what is for a.example.
type sink struct {
	mu  sync.Mutex
	got told
}

// NewSession implements gosmtp.Backend.
func (s *sink) NewSession(*gosmtp.Conn) (gosmtp.Session, error) { return &sinking{sink: s}, nil }

type sinking struct {
	*sink
	from string
}

func (s *sinking) Reset()        {}
func (s *sinking) Logout() error { return nil }
func (s *sinking) Mail(from string, _ *gosmtp.MailOptions) error {
	s.from = from
	return nil
}

func (s *sinking) Rcpt(to string, _ *gosmtp.RcptOptions) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if strings.HasSuffix(to, "@a.example") {
		s.got.path = s.from
		return &gosmtp.SMTPError{Code: 550, EnhancedCode: gosmtp.EnhancedCode{5, 1, 1}, Message: "unknown"}
	}
	s.got.report += to
	return nil
}

func (s *sinking) Data(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}

// eximFailures has Exim try to deliver a message for each.
func eximFailures(t *testing.T, locals []string) map[string]told {
	t.Helper()
	exim, err := exec.LookPath("exim4")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("needs the Debian package exim4-daemon-light")
		}
		t.Skip("needs the Debian package exim4-daemon-light")
	}
	if os.Getuid() != 0 {
		t.Skip("Exim delivers as root alone")
	}
	var next sink
	server := gosmtp.NewServer(&next)
	server.Domain = "next.example"
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	defer func() {
		_ = server.Close()
		<-done
	}()
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // Exim drops its rights
		t.Fatal(err)
	}
	conf := filepath.Join(dir, "exim.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, eximErrors, exim, filepath.Join(dir, "spool"), l.Addr().(*net.TCPAddr).Port), 0o644); err != nil {
		t.Fatal(err)
	}
	all := map[string]told{}
	for _, local := range locals {
		cmd := exec.CommandContext(t.Context(), exim, "-C", conf, "-odf", "-f", "ann@sender.example", local+"@a.example")
		cmd.Stdin = strings.NewReader("Subject: x\n\nx\n")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", local, err, out)
		}
		// What it has to report is in its queue now, and goes out before this ends.
		if out, err := exec.CommandContext(t.Context(), exim, "-C", conf, "-qf").CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", local, err, out)
		}
		next.mu.Lock()
		all[local], next.got = next.got, told{}
		next.mu.Unlock()
	}
	return all
}
