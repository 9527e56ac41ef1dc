package dsn

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// reading is what another program makes of a report.
type reading struct {
	Faults     []string            `json:"faults"`
	Types      []string            `json:"types"`
	Message    map[string]string   `json:"message"`
	Recipients []map[string]string `json:"recipients"`
	Subject    string              `json:"subject"`
	To         string              `json:"to"`
	References string              `json:"references"`
	Words      string              `json:"words"`
	Returned   string              `json:"returned"`
}

// readBy has Python's mail library and the grammar of RFC 3464 read a report.
func readBy(t *testing.T, text []byte) reading {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("needs the Debian package python3")
	}
	cmd := exec.Command(python, filepath.Join("testdata", "read.py"))
	var complaint bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(text), &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, complaint.String(), text)
	}
	var r reading
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestAnotherReader: what we write is read by others as it is meant, and has no
// fault by the letter of the RFCs.
func TestAnotherReader(t *testing.T) {
	for name, want := range map[string][]string{
		"failure": {"rfc822; a@far.example failed 5.1.1 dns; mx.far.example", "rfc822; b@far.example failed 4.4.7 "},
		"full":    {"rfc822; a@far.example failed 5.1.2 "},
		"delay":   {"rfc822; a@far.example delayed 4.0.0 dns; mx.far.example"},
		"success": {"rfc822; a@far.example relayed 2.0.0 dns; mx.far.example"},
		"utf8":    {"utf-8; jürgen@münchen.example failed 5.1.1 dns; mx.far.example"},
		"german":  {"rfc822; a@far.example failed 5.1.1 dns; mx.far.example"},
		"double":  {"rfc822; a@far.example failed 5.1.1 dns; mx.far.example"},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("testdata", name+".eml"))
			if err != nil {
				t.Fatal(err)
			}
			r := readBy(t, bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n")))
			for _, fault := range r.Faults {
				t.Error(fault)
			}
			var got []string
			for _, rcpt := range r.Recipients {
				got = append(got, strings.Join([]string{rcpt["final-recipient"], rcpt["action"], rcpt["status"], rcpt["remote-mta"]}, " "))
			}
			if strings.Join(got, "\n") != strings.Join(want, "\n") {
				t.Errorf("got %q, want %q", got, want)
			}
			if r.Message["reporting-mta"] != "dns; relay1.corp.example" || r.References != "<1@corp.example>" {
				t.Errorf("%v, references %s", r.Message, r.References)
			}
		})
	}
}

// TestTheReaderIsStrict: it finds what is wrong, or its silence would mean
// nothing.
func TestTheReaderIsStrict(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "failure.eml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ old, new, want string }{
		{"Action: failed", "Action: delivered", "delivered with"},
		{"Status: 5.1.1", "Status: 5.1", "status '5.1'"},
		{"Reporting-MTA: dns; ", "Reporting-MTA: ", "has no type"},
		{"Final-Recipient: rfc822; a@", "Final-Recipient: utf-8; a@", "final-recipient utf-8"},
		{"Arrival-Date: Mon, 23", "Arrival-Date: Mon, 43", "arrival-date"},
		{"report-type=delivery-status", "report-type=status", "report-type"},
		{"Auto-Submitted: auto-replied\n", "", "Auto-Submitted"},
		{"Last-Attempt-Date", "Last-Attempt", "last-attempt is not known"},
		{"Diagnostic-Code: smtp; 550", "Diagnostic-Code: smtp; no", "diagnostic"},
	} {
		broken := strings.Replace(string(text), c.old, c.new, 1)
		if broken == string(text) {
			t.Fatalf("no %q in the report", c.old)
		}
		r := readBy(t, []byte(strings.ReplaceAll(broken, "\n", "\r\n")))
		if !strings.Contains(strings.Join(r.Faults, "\n"), c.want) {
			t.Errorf("%q: faults %q, want %s", c.new, r.Faults, c.want)
		}
	}
}
