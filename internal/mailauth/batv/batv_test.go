package batv

import (
	"errors"
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

func tagger() *Tagger {
	return &Tagger{Keys: map[int][]byte{3: []byte("new"), 2: []byte("old")}, Key: 3, Days: 7}
}

func TestThereAndBack(t *testing.T) {
	// Two days, one before and one after the number of the day begins anew.
	for _, now := range []time.Time{time.Unix(86400*20998+5, 0), time.Unix(86400*21001+5, 0)} {
		for _, a := range []string{"joe@x.example", `"a b"@x.example`, "a=b@x.example", "SRS0=x=y@x.example"} {
			plain := address(t, a)
			tagged, err := tagger().Tag(plain, now)
			if err != nil || !strings.HasPrefix(tagged.Local, "prvs=3") {
				t.Fatal(tagged, err)
			}
			if again, err := tagger().Tag(tagged, now); err != nil || again != tagged {
				t.Errorf("tagged twice: %v, %v", again, err)
			}
			if back, err := tagger().Check(tagged, now.AddDate(0, 0, 7)); err != nil || back != plain {
				t.Errorf("%s: %s: %v, %v", a, tagged, back, err)
			}
			for _, days := range []int{8, -1, 300} {
				if _, err := tagger().Check(tagged, now.AddDate(0, 0, days)); !errors.Is(err, ErrExpired) {
					t.Errorf("%s after %d days: %v", tagged, days, err)
				}
			}
		}
	}
}

func TestRotation(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	old := tagger()
	old.Key = 2
	tagged, _ := old.Tag(address(t, "joe@x.example"), now)
	if back, err := tagger().Check(tagged, now); err != nil || back.Local != "joe" {
		t.Errorf("%v, %v", back, err)
	}
	gone := tagger()
	delete(gone.Keys, 2)
	if _, err := gone.Check(tagged, now); !errors.Is(err, ErrForged) {
		t.Error(err)
	}
}

func TestRefused(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	tagged, _ := tagger().Tag(address(t, "joe@x.example"), now)
	for _, a := range []string{
		strings.Replace(tagged.String(), "joe", "jim", 1), strings.Replace(tagged.String(), "x.example", "y.example", 1),
		"prvs=3000000000=joe@x.example", "prvs=3000zzzzzz=joe@x.example", "prvs=3000=joe@x.example", "joe@x.example", "prvs=3000000000=@x.example",
	} {
		// The last one is no address, and must not panic all the same.
		parsed, err := mail.ParseAddress(a)
		if err != nil {
			continue
		}
		if back, err := tagger().Check(parsed, now); !errors.Is(err, ErrForged) {
			t.Errorf("%s: %v, %v", a, back, err)
		}
	}
	if got, err := tagger().Tag(mail.Address{}, now); err != nil || !got.IsNull() {
		t.Errorf("the null address: %v, %v", got, err)
	}
	long := mail.Address{Local: strings.Repeat("x", 60), Domain: "x.example"}
	if got, err := tagger().Tag(long, now); !errors.Is(err, ErrTooLong) || got != long {
		t.Errorf("%v, %v", got, err)
	}
}

// Exim's ${prvs} and ${prvscheck} understand ours, and ours theirs.
func TestExim(t *testing.T) {
	program, err := exec.LookPath("exim4")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("needs the Debian package exim4-daemon-light")
	}
	config := filepath.Join(t.TempDir(), "exim.conf")
	path, _ := filepath.EvalSymlinks(program)
	text := "exim_path = " + path + "\nkeep_environment =\nspool_directory = " + filepath.Dir(config) + "\nlog_file_path = " + filepath.Dir(config) + "/%slog\n"
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	expand := func(s string) string {
		t.Helper()
		out, err := exec.Command(program, "-C", config, "-be", s).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return strings.TrimSpace(string(out))
	}
	now := time.Now()
	for _, a := range []string{"joe@x.example", "Joe.Doe@x.example", "a=b@x.example"} {
		theirs := expand("${prvs{" + a + "}{new}{3}}")
		if back, err := tagger().Check(address(t, theirs), now); err != nil || back.String() != a {
			t.Errorf("%s: %v, %v", theirs, back, err)
		}
		ours, _ := tagger().Tag(address(t, a), now)
		if got := expand("${prvscheck{" + ours.String() + "}{new}{$prvscheck_address is $prvscheck_result}}"); got != a+" is 1" {
			t.Errorf("%s: %s (Exim makes %s)", ours, got, theirs)
		}
	}
}
