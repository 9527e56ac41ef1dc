package main_test

import (
	"context"
	"fmt"
	"net"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"quorumta/bench/load"
	"quorumta/bench/proc"
	"quorumta/bench/sink"
	"quorumta/bench/trial"
	"quorumta/bench/verdict"
)

// binary is the program, built once for all tests of this package.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "quorumta")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "quorumta")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		os.Exit(1)
	}
	status := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(status)
}

// try runs a cluster of real processes in front of a sink until the test ends.
func try(t *testing.T, o trial.Options) *trial.Trial {
	t.Helper()
	return tryWith(t, binary, o)
}

// tryWith is try with another program.
func tryWith(t *testing.T, program string, o trial.Options) *trial.Trial {
	t.Helper()
	o.Binary, o.Dir = program, filepath.Join(t.TempDir(), "cluster")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tr, err := trial.Start(ctx, o)
	if err != nil {
		t.Fatal(err, tails(o.Dir))
	}
	t.Cleanup(func() {
		tr.Close()
		if t.Failed() {
			t.Log(tails(o.Dir))
		}
	})
	return tr
}

// started runs a cluster of real processes until the test ends.
func started(t *testing.T, o proc.Options) *proc.Cluster {
	t.Helper()
	o.Binary, o.Dir = binary, filepath.Join(t.TempDir(), "cluster")
	c, err := proc.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Kill()
		if t.Failed() {
			t.Log(tails(o.Dir))
		}
	})
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c
}

// tails are the ends of the nodes' logs.
func tails(dir string) string {
	var out strings.Builder
	names, _ := filepath.Glob(filepath.Join(dir, "*", "log.txt"))
	for _, name := range names {
		text, _ := os.ReadFile(name)
		if len(text) > 4000 {
			text = text[len(text)-4000:]
		}
		fmt.Fprintf(&out, "\n%s:\n%s", filepath.Base(filepath.Dir(name)), text)
	}
	return out.String()
}

// judge waits for the queue to be empty and passes the verdict.
func judge(t *testing.T, tr *trial.Trial) verdict.Verdict {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := tr.WaitEmpty(ctx); err != nil {
		t.Fatal(err)
	}
	v, err := tr.Judge(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestKillNineLosesNothing(t *testing.T) {
	tr := try(t, trial.Options{Nodes: 3})
	loaded := make(chan load.Report, 1)
	l, err := tr.NewLoad(load.Options{Sessions: 20, Duration: 6 * time.Second, PerConnection: 20})
	if err != nil {
		t.Fatal(err)
	}
	go func() { loaded <- l.Run(t.Context()) }()
	waitFor(t, "load to flow", func(context.Context) bool { return l.Report().Acknowledged > 500 })
	victim, err := tr.Busiest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	victim.Kill()
	report := <-loaded
	for _, target := range report.Targets {
		if target.Address != victim.SMTP && target.Refused > 0 {
			t.Errorf("a surviving node refused %d messages: %v", target.Refused, report.Refusals)
		}
	}
	v := judge(t, tr)
	if !v.OK() || v.Acknowledged < 500 {
		var table strings.Builder
		_ = v.Print(&table)
		t.Errorf("the verdict after kill -9:\n%s", table.String())
	}
}

func TestVerdictFailsWhenMailIsLost(t *testing.T) {
	tr := try(t, trial.Options{Nodes: 1, Sink: sink.Mode{DropEvery: 50}})
	if _, err := tr.Load(t.Context(), load.Options{Sessions: 5, Count: 100}); err != nil {
		t.Fatal(err)
	}
	if v := judge(t, tr); v.OK() || v.Lost == 0 {
		t.Errorf("a sink that loses mail goes unnoticed: %+v", v)
	}
}

func TestAllKilledAndStartedAgain(t *testing.T) {
	tr := try(t, trial.Options{Nodes: 3, Sink: sink.Mode{Action: sink.Defer, Percent: 50}, Edit: quickRetry})
	if _, err := tr.Load(t.Context(), load.Options{Sessions: 20, Count: 1000}); err != nil {
		t.Fatal(err)
	}
	tr.Cluster.Kill()
	if err := tr.Sink.SetMode(sink.Mode{}); err != nil {
		t.Fatal(err)
	}
	if err := tr.Cluster.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if v := judge(t, tr); !v.OK() || v.Acknowledged != 1000 {
		t.Errorf("after killing and starting all: %+v", v)
	}
}

// replaceOnce changes a configuration, and fails where it has not what is to
// be changed.
func replaceOnce(t *testing.T, text, old, new string) string {
	t.Helper()
	if !strings.Contains(text, old) {
		t.Fatalf("the configuration has no %q", old)
	}
	return strings.Replace(text, old, new, 1)
}

// quickRetry tries deferred mail again after a second.
func quickRetry(_ string, config []byte) []byte {
	return []byte(strings.Replace(string(config), "F 2h 15m", "F 2h 1s", 1))
}

func TestNoMajorityMeansTryLater(t *testing.T) {
	tr := try(t, trial.Options{Nodes: 3})
	survivor := tr.Cluster.Nodes[0]
	c, err := smtp.Dial(survivor.SMTP)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	w := begin(t, c)
	for _, n := range tr.Cluster.Nodes[1:] {
		n.Kill()
	}
	killed := time.Now()
	waitFor(t, "MAIL to be refused", func(context.Context) bool {
		other, err := smtp.Dial(survivor.SMTP)
		if err != nil {
			return false
		}
		defer func() { _ = other.Close() }()
		err = other.Mail("a@b.example")
		return err != nil && strings.HasPrefix(err.Error(), "451")
	})
	if _, err := fmt.Fprint(w, "X-Bench-ID: late-1\r\nSubject: late\r\n\r\nlate\r\n"); err != nil {
		t.Fatal(err)
	}
	// The rule speaks of a message that ends so much later.
	waitFor(t, "the second second", func(context.Context) bool { return time.Since(killed) >= 2*time.Second })
	before := time.Now()
	err = w.Close()
	if err == nil || !strings.HasPrefix(err.Error(), "451") {
		t.Errorf("the dot without a majority: %v", err)
	}
	if took := time.Since(before); took > 2*time.Second {
		t.Errorf("451 took %v, at most 2 s", took)
	}
	if err := tr.Cluster.Nodes[1].Start(); err != nil {
		t.Fatal(err)
	}
	flowsWithout(t, tr, "late-1")
}

func TestProposedWithoutMajorityIsTakenBack(t *testing.T) {
	tr := try(t, trial.Options{Nodes: 3, Edit: func(_ string, config []byte) []byte {
		return append(config, "submit_wait: 3s\n"...)
	}})
	survivor := tr.Cluster.Nodes[0]
	c, err := smtp.Dial(survivor.SMTP)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	w := begin(t, c)
	if _, err := fmt.Fprint(w, "X-Bench-ID: proposed-1\r\nSubject: proposed\r\n\r\nx\r\n"); err != nil {
		t.Fatal(err)
	}
	for _, n := range tr.Cluster.Nodes[1:] {
		if err := n.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range tr.Cluster.Nodes[1:] {
		waitFor(t, n.Name+" to stand still", func(context.Context) bool { return stopped(n.PID()) })
	}
	// The leader cannot know yet that nobody answers: this is proposed.
	before := time.Now()
	err = w.Close()
	if err == nil || !strings.HasPrefix(err.Error(), "451") {
		t.Errorf("the dot of a message that nobody confirms: %v", err)
	}
	if took := time.Since(before); took > 8*time.Second {
		t.Errorf("451 took %v, at most submit_wait and 5 s", took)
	}
	for _, n := range tr.Cluster.Nodes[1:] {
		if err := n.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	}
	flowsWithout(t, tr, "proposed-1")
}

// stopped reports whether every thread of the process stands still: the signal
// is sent before they do.
func stopped(pid int) bool {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	for _, path := range threads {
		text, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(text), ") T ") {
			return false
		}
	}
	return err == nil && len(threads) > 0
}

// flowsWithout waits until mail flows again, and fails if the message with the
// id, which was answered 451, has arrived.
func flowsWithout(t *testing.T, tr *trial.Trial, refused string) {
	t.Helper()
	waitFor(t, "mail to flow again", func(context.Context) bool {
		return submit(tr.Cluster.Nodes[0].SMTP, "a@b.example", "after@sink.example", "X-Bench-ID: after-1\r\n\r\nx\r\n") == nil
	})
	waitFor(t, "the new message to arrive", func(context.Context) bool { return tr.Sink.Stats().Messages > 0 })
	judge(t, tr)
	err := tr.Sink.Each(func(s sink.Seen) error {
		if s.ID == refused {
			return fmt.Errorf("%s got 451 and has arrived", refused)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// submit sends one message in the clear.
func submit(address, from, to, text string) error {
	c, err := smtp.Dial(address)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	if err := c.Mail(from); err != nil {
		return err
	}
	if err := c.Rcpt(to); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := fmt.Fprint(w, text); err != nil {
		return err
	}
	return w.Close()
}

// begin starts a message and leaves it before its content.
func begin(t *testing.T, c *smtp.Client) interface {
	Write([]byte) (int, error)
	Close() error
} {
	t.Helper()
	if err := c.Mail("a@b.example"); err != nil {
		t.Fatal(err)
	}
	if err := c.Rcpt("late@sink.example"); err != nil {
		t.Fatal(err)
	}
	w, err := c.Data()
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestDrainRefusesNothing(t *testing.T) {
	tr := try(t, trial.Options{Nodes: 3, Edit: func(_ string, config []byte) []byte {
		return append(config, "drain_grace: 1s\n"...)
	}})
	loaded := make(chan load.Report, 1)
	l, err := tr.NewLoad(load.Options{Sessions: 10, Duration: 8 * time.Second, Rate: 200})
	if err != nil {
		t.Fatal(err)
	}
	go func() { loaded <- l.Run(t.Context()) }()
	waitFor(t, "load to flow", func(context.Context) bool { return l.Report().Acknowledged > 100 })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := tr.Cluster.Nodes[1].Stop(ctx); err != nil {
		t.Errorf("SIGTERM: %v", err)
	}
	report := <-loaded
	if report.Transient+report.Permanent+report.Unknown > 0 {
		t.Errorf("refused %d + %d, unknown %d while draining: %v", report.Transient, report.Permanent, report.Unknown, report.Refusals)
	}
	if v := judge(t, tr); !v.OK() || v.SecondCopies > 0 {
		t.Errorf("after draining: %+v", v)
	}
}

func TestPausedLeaderSendsNoSecondCopy(t *testing.T) {
	tr := try(t, trial.Options{Nodes: 3})
	loaded := make(chan load.Report, 1)
	l, err := tr.NewLoad(load.Options{Sessions: 10, Duration: 12 * time.Second, Rate: 100, DotTimeout: 40 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	go func() { loaded <- l.Run(t.Context()) }()
	waitFor(t, "load to flow", func(context.Context) bool { return l.Report().Acknowledged > 100 })
	victim, err := tr.Busiest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "another leader", func(ctx context.Context) bool {
		for _, n := range tr.Cluster.Nodes {
			var s proc.Status
			if n == victim || n.Query(ctx, &s, "cluster", "status") != nil {
				continue
			}
			for _, shard := range s.Shards {
				if shard.Leader == "" || shard.Leader == victim.Name {
					return false
				}
			}
			return true
		}
		return false
	})
	if err := victim.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	<-loaded
	if v := judge(t, tr); !v.OK() {
		t.Errorf("after SIGSTOP and SIGCONT: %+v", v)
	}
}

func TestPostfixAsClientAndAsNextHop(t *testing.T) {
	hop := startPostfix(t, "hop.test", "sink.example", "", "none")
	c := started(t, proc.Options{Nodes: 3, Smarthost: hop.address})
	// "may": Postfix takes our STARTTLS.
	client := startPostfix(t, "client.test", "none.example", c.Nodes[0].SMTP, "may")
	waitFor(t, "the cluster to take mail", func(context.Context) bool {
		return submit(c.Nodes[0].SMTP, "a@client.example", "first@sink.example", "Subject: first\r\n\r\nx\r\n") == nil
	})
	client.send(t, "a@client.example", "b@sink.example", "Subject: through\n\n.leading dot\nhello\n")
	var message string
	waitFor(t, "the message to arrive", func(context.Context) bool {
		for _, m := range hop.received(t) {
			if strings.Contains(m, "Subject: through") {
				message = m
			}
		}
		return message != ""
	})
	if !strings.Contains(message, "\n.leading dot\nhello\n") {
		t.Errorf("the content was changed:\n%s", message)
	}
	received := regexp.MustCompile(`(?s)Received: from client\.test \([^)]*\[127\.0\.0\.1\]\)\s+by n1\.localdomain.* with ESMTPS.* id [0-9a-z]{20}`)
	if !received.MatchString(message) {
		t.Errorf("no Received field of ours:\n%s", message)
	}
}

func TestSenderGetsAReportWhenTheNextHopRefuses(t *testing.T) {
	tr := try(t, trial.Options{Nodes: 1, Sink: sink.Mode{Action: sink.Reject, Stage: sink.AtRcpt}})
	// The report for client.example goes to the sink as well, which refuses it
	// too, and then what the postmaster is told of that: there it ends.
	if err := submit(tr.Cluster.Nodes[0].SMTP, "a@client.example", "b@sink.example", "Subject: x\r\n\r\nx\r\n"); err != nil {
		t.Fatal(err)
	}
	judge(t, tr)
	events, err := tr.Cluster.Events(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(events), `"event":"accepted"`); n != 3 {
		t.Errorf("%d messages were made, want the first, its report, and a report to the postmaster:\n%s", n, events)
	}
	if n := strings.Count(string(events), `"event":"failed"`); n != 3 {
		t.Errorf("%d failed, want all three:\n%s", n, events)
	}
}

func TestMalformedCommandLines(t *testing.T) {
	for _, c := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{"init"}, 2, "--dir"},
		{[]string{"init", "--dir", "x", "--nodes", "4"}, 2, "odd"},
		{[]string{"serve", "--config", "/nonexistent"}, 2, "/nonexistent"},
		{[]string{"queue", "show", "nonsense", "--config", "/nonexistent"}, 2, ""},
		{[]string{"frobnicate"}, 2, "frobnicate"},
	} {
		out, err := exec.Command(binary, c.args...).CombinedOutput()
		var exit *exec.ExitError
		status := 0
		if e, ok := err.(*exec.ExitError); ok {
			exit = e
			status = exit.ExitCode()
		}
		if status != c.status || !strings.Contains(string(out), c.want) {
			t.Errorf("%v: status %d, want %d with %q: %s", c.args, status, c.status, c.want, out)
		}
	}
}

// TestNodeThatIsNotThere shows that a query to a node that is not there says so.
func TestNodeThatIsNotThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	out, err := exec.Command(binary, "cluster", "status", "--admin", address, "--credentials", t.TempDir()).CombinedOutput()
	if err == nil {
		t.Errorf("a cluster that is not there has a status: %s", out)
	}
}
