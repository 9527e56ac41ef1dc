package pipe

import (
	"fmt"
	"os"
	"slices"
	"syscall"

	"quorumta/delivery/transport/local"
	"quorumta/internal/mail"
)

// words are what sysexits.h calls a status, and its code (RFC 3463) without the
// class.
var words = map[int]struct{ name, code string }{
	64: {"EX_USAGE", "3.5"}, 65: {"EX_DATAERR", "6.0"}, 66: {"EX_NOINPUT", "3.0"},
	67: {"EX_NOUSER", "1.1"}, 68: {"EX_NOHOST", "1.2"}, 69: {"EX_UNAVAILABLE", "3.0"},
	70: {"EX_SOFTWARE", "3.0"}, 71: {"EX_OSERR", "3.0"}, 72: {"EX_OSFILE", "3.5"},
	73: {"EX_CANTCREAT", "2.0"}, 74: {"EX_IOERR", "3.0"}, 75: {"EX_TEMPFAIL", "3.0"},
	76: {"EX_PROTOCOL", "5.0"}, 77: {"EX_NOPERM", "7.0"}, 78: {"EX_CONFIG", "3.5"},
}

// verdict reads an exit status. What a shell or a loader says, 126 and 127, and
// the end by a signal are faults of this machine and never fail a recipient.
func (t *Transport) verdict(state *os.ProcessState, said string) mail.Reply {
	status := state.ExitCode()
	what := fmt.Sprintf("the command ended with status %d", status)
	if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return mail.Reply{Code: 451, Enhanced: "4.3.0", Text: with("the command was killed by signal "+ws.Signal().String(), said)}
	}
	if status == 0 {
		return mail.Reply{Code: 250, Enhanced: "2.0.0", Text: "the command took it"}
	}
	word, ok := words[status]
	if ok {
		what += " (" + word.name + ")"
	} else {
		word.code = "3.0"
	}
	r := mail.Reply{Code: 554, Enhanced: "5." + word.code, Text: with(what, said)}
	if status == 126 || status == 127 || slices.Contains(t.o.Temporary, status) {
		r.Code, r.Enhanced = 451, "4."+word.code
	}
	return r
}

// with adds what the command has printed.
func with(what, said string) string {
	if said == "" {
		return what
	}
	return what + ":\n" + said
}

// output keeps the beginning of what a command prints.
type output struct {
	most int
	buf  []byte
}

// Write implements io.Writer; it takes everything.
func (o *output) Write(p []byte) (int, error) {
	o.buf = append(o.buf, p[:min(len(p), o.most-len(o.buf))]...)
	return len(p), nil
}

// String is what was kept, fit for a log and a report.
func (o *output) String() string { return local.Clean(string(o.buf)) }
