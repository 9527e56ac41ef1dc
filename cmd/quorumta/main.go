// Command quorumta is the mail relay, and the tool that asks and steers it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/alecthomas/kong"

	"quorumta/internal/admin"
)

// Exit statuses: a contract with scripts.
const (
	exitOK         = 0
	exitFailed     = 1
	exitUsage      = 2
	exitNoMajority = 75 // EX_TEMPFAIL: the same command may work later
)

// cli is the command line.
type cli struct {
	Serve   serveCmd   `cmd:"" help:"Run one node in the foreground. SIGTERM drains, SIGHUP reloads."`
	Init    initCmd    `cmd:"" help:"Write a new cluster: certificates and one configuration per node."`
	Check   checkCmd   `cmd:"" help:"Read a configuration over: file:line:column: what, hint."`
	Cluster clusterCmd `cmd:"" help:"The cluster's life."`
	Queue   queueCmd   `cmd:"" help:"Messages, one or by selection."`
	Events  eventsCmd  `cmd:"" help:"The history, one JSON object a line."`
	Demo    demoCmd    `cmd:"" help:"Run a cluster of processes here under load, and pass a verdict."`
	Version versionCmd `cmd:"" help:"Print the program's version."`
}

// streams are where a command prints.
type streams struct {
	out, err io.Writer
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, os.Args[1:], streams{out: os.Stdout, err: os.Stderr})
	stop()
	os.Exit(status)
}

// run runs one command line and returns its exit status.
func run(ctx context.Context, args []string, s streams) int {
	var c cli
	parser, err := kong.New(&c,
		kong.Name("quorumta"),
		kong.Description("A mail relay that does not lose mail when a machine dies."),
		kong.UsageOnError(),
		kong.Writers(s.out, s.err),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(s),
	)
	if err != nil {
		fmt.Fprintln(s.err, "quorumta:", err)
		return exitFailed
	}
	k, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(s.err, "quorumta: %v (see quorumta --help)\n", err)
		return exitUsage
	}
	if err := k.Run(); err != nil {
		if !errors.Is(err, errSaid) {
			fmt.Fprintln(s.err, "quorumta:", err)
		}
		return status(err)
	}
	return exitOK
}

// errSaid is an error whose text the user has seen already.
var errSaid = errors.New("said")

// usageError is an error of the command line itself.
type usageError struct{ text string }

// Error implements error.
func (e usageError) Error() string { return e.text }

func status(err error) int {
	var usage usageError
	switch {
	case errors.As(err, &usage):
		return exitUsage
	case errors.Is(err, admin.ErrNoMajority):
		return exitNoMajority
	}
	return exitFailed
}

type versionCmd struct{}

// Run prints the version.
func (versionCmd) Run(s streams) error {
	_, err := fmt.Fprintln(s.out, "quorumta", version())
	return err
}

// version is the module's version, with the commit where it was built from a
// checkout.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return info.Main.Version + " " + s.Value[:12]
		}
	}
	return info.Main.Version
}
