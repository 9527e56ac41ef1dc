// Command quorumta is the mail relay, and the tool that asks and steers it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"quorumta/cmd/quorumta/clustering"
	"quorumta/cmd/quorumta/console"
	"quorumta/cmd/quorumta/messages"
	"quorumta/cmd/quorumta/sites"
	"quorumta/cmd/quorumta/trial"
)

// cli is the command line.
type cli struct {
	Serve   serveCmd            `cmd:"" help:"Run one node in the foreground. SIGTERM drains, SIGHUP reloads."`
	Init    initCmd             `cmd:"" help:"Write a new cluster: certificates and one configuration per node."`
	Check   checkCmd            `cmd:"" help:"Read a configuration over: file:line:column: what, hint."`
	Cluster clustering.Commands `cmd:"" help:"The cluster's life."`
	Queue   messages.Commands   `cmd:"" help:"Messages, one or by selection."`
	Site    sites.Commands      `cmd:"" help:"Where mail goes, and what of it is to wait."`
	Test    trial.Commands      `cmd:"" help:"What would happen to mail, and why."`
	Events  messages.Events     `cmd:"" help:"The history, one JSON object a line."`
	Recover recoverCmd          `cmd:"" help:"Make a survivor of a lost majority a cluster of its own."`
	Demo    demoCmd             `cmd:"" help:"Run a cluster of processes here under load, and pass a verdict."`
	Version versionCmd          `cmd:"" help:"Print the program's version."`
}

// streams are where a command prints.
type streams = console.Streams

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, os.Args[1:], streams{Out: os.Stdout, Err: os.Stderr})
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
		kong.Writers(s.Out, s.Err),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(s),
	)
	if err != nil {
		fmt.Fprintln(s.Err, "quorumta:", err)
		return console.ExitFailed
	}
	k, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(s.Err, "quorumta: %v (see quorumta --help)\n", err)
		return console.ExitUsage
	}
	if err := k.Run(); err != nil {
		if !errors.Is(err, errSaid) {
			fmt.Fprintln(s.Err, "quorumta:", err)
		}
		return console.Status(err)
	}
	return console.ExitOK
}

// errSaid is an error whose text the user has seen already.
var errSaid = console.ErrSaid

// usageError is an error of the command line itself.
type usageError = console.UsageError

type versionCmd struct{}

// Run prints the version.
func (versionCmd) Run(s streams) error {
	_, err := fmt.Fprintln(s.Out, "quorumta", version())
	return err
}

// version is the program's.
func version() string { return console.Version() }
