package srs

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quorumta/internal/mail"
)

func address(t testing.TB, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func rewriter() *Rewriter {
	return &Rewriter{Domain: "srs.example", Secrets: [][]byte{[]byte("new"), []byte("old")}, Length: 4, MaxAge: 21, Separator: '='}
}

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func TestThereAndBack(t *testing.T) {
	for _, a := range []string{
		"joe@sender.example", "SRS0=abcd=EF=x.example=y@first.example", "srs1+ab=first.example==abcd=EF=x.example=y@second.example",
		"srs1-nonsense@x.example", "a=b=c@x.example", `"a b"@x.example`, "Mixed.Case@x.example",
	} {
		for _, sha1 := range []bool{false, true} {
			r := rewriter()
			r.SHA1 = sha1
			sender := address(t, a)
			there, err := r.Forward(sender, now)
			if err != nil || there.Domain != "srs.example" {
				t.Fatalf("%s: %v, %v", a, there, err)
			}
			back, err := r.Reverse(there, now.AddDate(0, 0, 21))
			want := sender.String()
			if strings.HasPrefix(a, "srs1+") { // straight to the first forwarder
				want = "SRS0=abcd=EF=x.example=y@first.example"
			}
			if err != nil || back.String() != want {
				t.Errorf("%s: %s: %s, %v", a, there, back, err)
			}
			// Through a host that does not keep the case.
			small := mail.Address{Local: strings.ToLower(there.Local), Domain: there.Domain}
			if back, err := r.Reverse(small, now); err != nil || !strings.EqualFold(back.String(), want) {
				t.Errorf("%s: %s: %s, %v", a, small, back, err)
			}
		}
	}
}

func TestRotation(t *testing.T) {
	old := rewriter()
	old.Secrets = old.Secrets[1:]
	there, _ := old.Forward(address(t, "joe@sender.example"), now)
	if back, err := rewriter().Reverse(there, now); err != nil || back.String() != "joe@sender.example" {
		t.Errorf("%v, %v", back, err)
	}
	old.Secrets = [][]byte{[]byte("another")}
	if _, err := old.Reverse(there, now); !errors.Is(err, ErrForged) {
		t.Error(err)
	}
}

func TestRefused(t *testing.T) {
	r := rewriter()
	there, _ := r.Forward(address(t, "joe@sender.example"), now)
	for _, c := range []struct {
		address string
		when    time.Time
		want    error
	}{
		{there.String(), now.AddDate(0, 0, 22), ErrExpired},
		{there.String(), now.AddDate(0, 0, -1), ErrExpired},
		{strings.Replace(there.String(), "joe", "jim", 1), now, ErrForged},
		{strings.Replace(there.String(), "sender.", "other.", 1), now, ErrForged},
		{strings.Replace(there.String(), "srs.example", "other.example", 1), now, ErrNone},
		{"SRS0=@srs.example", now, ErrNone},
		{"SRS0=x@srs.example", now, ErrForged},
		{"SRS0=x=y@srs.example", now, ErrForged},
		{"SRS0==TT=x.example=y@srs.example", now, ErrForged},
		{"SRS1=x=y@srs.example", now, ErrForged},
		{"joe@srs.example", now, ErrNone},
	} {
		if a, err := r.Reverse(address(t, c.address), c.when); !errors.Is(err, c.want) {
			t.Errorf("%s at %s: %v, %v; want %v", c.address, c.when, a, err, c.want)
		}
	}
	// A hash cut short would be guessed soon.
	if _, err := r.Reverse(mail.Address{Local: strings.Replace(there.Local, "=", "=", 1)[:5] + there.Local[7:], Domain: there.Domain}, now); !errors.Is(err, ErrForged) {
		t.Errorf("a hash of two characters: %v", err)
	}
}

func TestLeftAlone(t *testing.T) {
	r := rewriter()
	for _, a := range []mail.Address{{}, {Local: "x", Domain: "srs.example"}} {
		if got, err := r.Forward(a, now); err != nil || got != a {
			t.Errorf("%v: %v, %v", a, got, err)
		}
	}
	long := mail.Address{Local: strings.Repeat("x", 40), Domain: "a-domain-with-a-long-name.example"}
	if got, err := r.Forward(long, now); !errors.Is(err, ErrTooLong) || got != long {
		t.Errorf("%v, %v", got, err)
	}
}

// postsrsd starts Debian's, and returns what asks its two tables.
func postsrsd(t *testing.T, secret string) (forward, reverse func(string) string) {
	t.Helper()
	program, err := exec.LookPath("postsrsd")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("needs the Debian package postsrsd")
	}
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ports := [2]string{freePort(t), freePort(t)}
	cmd := exec.Command(program, "-s", file, "-d", "srs.example", "-4", "-f", ports[0], "-r", ports[1])
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return asker(t, ports[0]), asker(t, ports[1])
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// asker speaks the protocol of Postfix's tcp_table(5).
func asker(t *testing.T, port string) func(string) string {
	t.Helper()
	var conn net.Conn
	for late := time.Now().Add(20 * time.Second); conn == nil; {
		var err error
		if conn, err = net.DialTimeout("tcp4", "127.0.0.1:"+port, time.Second); err != nil {
			if time.Now().After(late) {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond) // until it listens
		}
	}
	t.Cleanup(func() { _ = conn.Close() })
	in := bufio.NewReader(conn)
	return func(key string) string {
		t.Helper()
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := fmt.Fprintf(conn, "get %s\n", key); err != nil {
			t.Fatal(err)
		}
		answer, err := in.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(answer)
	}
}

// What postsrsd makes we read, and what we make postsrsd reads: a relay can
// take the place of the other with the same secret.
func TestPostsrsd(t *testing.T) {
	forward, reverse := postsrsd(t, "a secret of both")
	r := &Rewriter{Domain: "srs.example", Secrets: [][]byte{[]byte("a secret of both")}, SHA1: true, Length: 4, MaxAge: 21, Separator: '='}
	for _, a := range []string{
		"joe@sender.example", "Joe.Mixed+tag@Sender.Example", "SRS0=abcd=EF=x.example=y@first.example",
		"SRS1=abcd=first.example==wxyz=EF=x.example=y@second.example", "a=b@x.example",
	} {
		theirs, ok := strings.CutPrefix(forward(a), "200 ")
		if !ok {
			t.Fatalf("%s: postsrsd answers %q", a, theirs)
		}
		ours, err := r.Forward(address(t, a), time.Now())
		if err != nil || !strings.EqualFold(ours.String(), theirs) {
			t.Errorf("%s: %s, %v; postsrsd makes %s", a, ours, err, theirs)
		}
		want, ok := strings.CutPrefix(reverse(ours.String()), "200 ")
		got, err := r.Reverse(address(t, theirs), time.Now())
		if !ok || err != nil || !strings.EqualFold(got.String(), want) {
			t.Errorf("%s: back it is %s, %v; postsrsd: %q", a, got, err, want)
		}
	}
	for _, forged := range []string{"SRS0=aaaa=AA=x.example=y@srs.example", "SRS1=aaaa=x.example==y@srs.example"} {
		answer := reverse(forged)
		if _, err := r.Reverse(address(t, forged), time.Now()); err == nil || strings.HasPrefix(answer, "200") {
			t.Errorf("%s: %v, postsrsd: %s", forged, err, answer)
		}
	}
}
