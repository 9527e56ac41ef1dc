package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"quorumta/bench/load"
	"quorumta/bench/proc"
	"quorumta/bench/trial"
)

// command runs the program and returns what it printed and its exit status.
func command(t *testing.T, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// must runs the program, which has to succeed.
func must(t *testing.T, args ...string) string {
	t.Helper()
	out, errs, status := command(t, args...)
	if status != 0 {
		t.Fatalf("%v: status %d: %s", args, status, errs)
	}
	return out
}

// refused runs the program, which has to end with the status and these words.
func refused(t *testing.T, status int, words string, args ...string) {
	t.Helper()
	_, errs, got := command(t, args...)
	if got != status || !strings.Contains(errs, words) {
		t.Errorf("%v: status %d, want %d with %q: %s", args, got, status, words, errs)
	}
}

// guest is a node that was not there when the cluster was founded.
type guest struct {
	name, config, smtp string
	cmd                *exec.Cmd
	log                bytes.Buffer
}

// serve runs a node of a configuration until the test ends, or it is stopped.
func serve(t *testing.T, config string) *guest {
	t.Helper()
	g := &guest{name: filepath.Base(filepath.Dir(config)), config: config}
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "listeners:")
	_, after, _ = strings.Cut(after, `address: "`)
	g.smtp, _, _ = strings.Cut(after, `"`)
	g.cmd = exec.Command(binary, "serve", "--config", config)
	g.cmd.Stderr = &g.log
	g.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := g.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = g.cmd.Process.Kill()
		_ = g.cmd.Wait()
		if t.Failed() {
			text := g.log.String()
			t.Logf("%s:\n%s", g.name, text[max(0, len(text)-4000):])
		}
	})
	return g
}

// join writes a node that joins by the member and runs it.
func join(t *testing.T, member *proc.Node, dir string, port int) *guest {
	t.Helper()
	token := strings.TrimSpace(must(t, "cluster", "token", "--config", member.Config))
	var admitted struct {
		Config string `json:"config"`
	}
	decode(t, must(t, "init", "--join", clusterAddress(t, member), "--token", token, "--dir", dir, "--port", strconv.Itoa(port), "--json"), &admitted)
	return serve(t, admitted.Config)
}

func decode(t *testing.T, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
}

// clusterAddress is where the node speaks to others.
func clusterAddress(t *testing.T, n *proc.Node) string {
	t.Helper()
	text, err := os.ReadFile(n.Config)
	if err != nil {
		t.Fatal(err)
	}
	_, after, ok := strings.Cut(string(text), `listen: "`)
	address, _, ok2 := strings.Cut(after, `"`)
	if !ok || !ok2 {
		t.Fatal("no cluster.listen in " + n.Config)
	}
	return address
}

// basePort is the port that the first node of a cluster on one host counts
// from.
func basePort(t *testing.T, first *proc.Node) int {
	t.Helper()
	address := clusterAddress(t, first)
	port, err := strconv.Atoi(address[strings.LastIndexByte(address, ':')+1:])
	if err != nil {
		t.Fatal(err)
	}
	return port - 1
}

// shards is what "cluster status --json" says of shards.
type shards struct {
	Nodes []struct {
		Name string `json:"name"`
	} `json:"nodes"`
	Shards []struct {
		ID       int    `json:"id"`
		Leader   string `json:"leader"`
		Replicas []struct {
			Node  string `json:"node"`
			Voter bool   `json:"voter"`
		} `json:"replicas"`
		Retiring bool `json:"retiring"`
	} `json:"shards"`
}

// settles waits until the cluster has so many members, and so many shards that
// take mail, with so many voters each and nothing else.
func settles(t *testing.T, config string, members, count, voters int) {
	t.Helper()
	var last string
	defer func() {
		if t.Failed() {
			t.Log(last)
		}
	}()
	waitFor(t, fmt.Sprintf("%d members, %d shards of %d voters", members, count, voters), func(context.Context) bool {
		out, _, status := command(t, "cluster", "status", "--config", config, "--json")
		last = out
		var s shards
		if status != 0 || json.Unmarshal([]byte(out), &s) != nil || len(s.Nodes) != members {
			return false
		}
		taking := 0
		for _, shard := range s.Shards {
			if !shard.Retiring {
				taking++
			}
			if shard.Leader == "" || len(shard.Replicas) != voters {
				return false
			}
			for _, r := range shard.Replicas {
				if !r.Voter {
					return false
				}
			}
		}
		return taking == count
	})
}

// quickLeave shortens the drain of a node that is to leave.
func quickLeave(_ string, config []byte) []byte { return append(config, "drain_grace: 1s\n"...) }

func TestGrowsAndShrinksUnderLoad(t *testing.T) {
	tr := try(t, trial.Options{Nodes: 1, Edit: quickLeave})
	first := tr.Cluster.Nodes[0]
	dir := filepath.Join(t.TempDir(), "joined")
	l, err := tr.NewLoad(load.Options{Sessions: 8, Duration: 45 * time.Second, Rate: 60})
	if err != nil {
		t.Fatal(err)
	}
	ctx, enough := context.WithCancel(t.Context())
	defer enough()
	loaded := make(chan load.Report, 1)
	go func() { loaded <- l.Run(ctx) }()
	waitFor(t, "load to flow", func(context.Context) bool { return l.Report().Acknowledged > 30 })
	port := basePort(t, first)
	second := join(t, first, dir, port+2)
	third := join(t, first, dir, port+3)
	settles(t, first.Config, 3, 3, 3)
	if err := submit(second.smtp, "a@b.example", "c@sink.example", "X-Bench-ID: by-n2\r\n\r\nx\r\n"); err != nil {
		t.Errorf("the new node takes no mail: %v", err)
	}
	must(t, "cluster", "remove", "n3", "--config", first.Config)
	if err := third.cmd.Wait(); err != nil {
		t.Errorf("the node that left: %v", err)
	}
	settles(t, first.Config, 2, 2, 2)
	enough()
	report := <-loaded
	if report.Transient+report.Permanent > 0 {
		t.Errorf("refused %d + %d while members came and went: %v", report.Transient, report.Permanent, report.Refusals)
	}
	if v := judge(t, tr); v.Lost > 0 || v.OutsideDoubt > 0 {
		t.Errorf("after growing and shrinking: %+v", v)
	}
	must(t, "cluster", "digest", "--deep", "--config", first.Config)
	must(t, "cluster", "digest", "--deep", "--config", second.config)
}

// A cluster is founded with the replicas that its files say, and keeps as much
// log.
func TestFoundedWithItsReplicas(t *testing.T) {
	tr := try(t, trial.Options{Nodes: 3, Edit: func(_ string, config []byte) []byte {
		return []byte(replaceOnce(t, string(config), "  members:", "  replicas: 1\n  log_keep: 16MB\n  members:"))
	}})
	settles(t, tr.Cluster.Nodes[0].Config, 3, 3, 1)
	said := reload(t, tr.Cluster.Nodes[0], func(text string) string {
		return replaceOnce(t, replaceOnce(t, text, "replicas: 1", "replicas: 5"), "log_keep: 16MB", "log_keep: 1GB")
	})
	if !strings.Contains(said, `"keys":"cluster.log_keep"`) { // alone
		t.Errorf("after a change: %s", said)
	}
}

func TestWhoIsNotLetInAgain(t *testing.T) {
	tr := try(t, trial.Options{Nodes: 3})
	if _, err := tr.Load(t.Context(), load.Options{Sessions: 5, Count: 100}); err != nil {
		t.Fatal(err)
	}
	first, third := tr.Cluster.Nodes[0], tr.Cluster.Nodes[2]
	data := filepath.Join(filepath.Dir(third.Config), "data")
	refused(t, 1, "needs no joining", "cluster", "join", "--config", third.Config)
	saved := filepath.Join(t.TempDir(), "n3")
	third.Kill()
	if err := os.Rename(data, saved); err != nil {
		t.Fatal(err)
	}
	refused(t, 1, "cluster join --config", "serve", "--config", third.Config)
	// Once it has joined it is another incarnation: the old data is refused.
	waitFor(t, "n3 to be known to be gone", func(context.Context) bool {
		_, _, status := command(t, "cluster", "join", "--config", third.Config)
		return status == 0
	})
	refused(t, 1, "run quorumta serve", "cluster", "join", "--config", third.Config)
	if err := third.Start(); err != nil {
		t.Fatal(err)
	}
	settles(t, first.Config, 3, 3, 3)
	waitFor(t, "equal replicas", func(context.Context) bool {
		_, _, status := command(t, "cluster", "digest", "--deep", "--config", first.Config)
		return status == 0
	})
	judge(t, tr)
	token := strings.TrimSpace(must(t, "cluster", "token", "--config", first.Config))
	elsewhere, port := t.TempDir(), strconv.Itoa(basePort(t, first)+9)
	refused(t, 1, "is alive", "init", "--join", clusterAddress(t, first), "--token", token, "--dir", elsewhere, "--name", "n2", "--port", port)
	third.Kill()
	if err := errors.Join(os.Rename(data, saved+".new"), os.Rename(saved, data)); err != nil {
		t.Fatal(err)
	}
	old := serve(t, third.Config)
	_ = old.cmd.Wait()
	if old.cmd.ProcessState.ExitCode() == 0 || !strings.Contains(old.log.String(), "incarnation") {
		t.Errorf("an old incarnation runs: %s", old.log.String())
	}
	refused(t, 2, "68 characters", "init", "--join", clusterAddress(t, first), "--token", "qt1.short", "--dir", elsewhere)
	must(t, "init", "--join", clusterAddress(t, first), "--token", token, "--dir", elsewhere, "--port", port)
	refused(t, 1, "used or expired", "init", "--join", clusterAddress(t, first), "--token", token, "--dir", elsewhere, "--port", port)
}

func TestAnotherClustersDiskIsRefused(t *testing.T) {
	var data []string
	var configs []string
	for range 2 {
		tr := try(t, trial.Options{Nodes: 1})
		n := tr.Cluster.Nodes[0]
		n.Kill()
		configs = append(configs, n.Config)
		data = append(data, filepath.Join(filepath.Dir(n.Config), "data"))
	}
	aside := filepath.Join(t.TempDir(), "aside")
	if err := errors.Join(os.Rename(data[0], aside), os.Rename(data[1], data[0])); err != nil {
		t.Fatal(err)
	}
	refused(t, 1, "another CA", "serve", "--config", configs[0])
}
