package console

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"quorumta/internal/admin/api"
)

// Exit statuses: a contract with scripts.
const (
	ExitOK         = 0
	ExitFailed     = 1
	ExitUsage      = 2
	ExitNoMajority = 75 // EX_TEMPFAIL: the same command may work later
)

// Streams are where a command prints.
type Streams struct {
	Out, Err io.Writer
}

// ErrSaid is an error whose text the user has seen already.
var ErrSaid = errors.New("said")

// Exit is the end of a command that has said what there was to say, with a status
// of its own.
type Exit int

// Error implements error.
func (e Exit) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// Is makes it an ErrSaid.
func (e Exit) Is(target error) bool { return target == ErrSaid }

// UsageError is an error of the command line itself.
type UsageError struct{ Text string }

// Error implements error.
func (e UsageError) Error() string { return e.Text }

// Status is the exit status of a command that ended with err.
func Status(err error) int {
	var usage UsageError
	var exit Exit
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &usage):
		return ExitUsage
	case errors.As(err, &exit):
		return int(exit)
	case errors.Is(err, api.ErrNoMajority):
		return ExitNoMajority
	}
	return ExitFailed
}

// OneLine keeps a remote server's words from drawing on the terminal.
func OneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}
