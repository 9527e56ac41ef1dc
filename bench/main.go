// Command bench measures a mail relay from outside: it makes load, swallows
// what comes out at the other end, and passes a verdict on the two.
//
//	go run ./bench sink --listen 127.0.0.1:2525 --control 127.0.0.1:2580 --out sink.jsonl
//	go run ./bench load --targets 127.0.0.1:8001,127.0.0.1:8002 --for 60s --out load.jsonl
//	quorumta events --config n1/quorumta.yaml > events.jsonl
//	go run ./bench verdict --load load.jsonl --sink sink.jsonl --events events.jsonl
//
// or all three in one: bench run. The other commands start what they measure
// themselves, from a built program, on loopback, and clean up; they print a
// table, and with --out write it as JSON and draw it:
//
//	go build -o quorumta ./cmd/quorumta && go build -o bench.bin ./bench
//	./bench.bin relay --binary ./quorumta --nodes 1,3 --floor --out docs/performance/relay
//	./bench.bin peers --binary ./quorumta --nodes 1,3 --sizes 1000,10000,100000,1000000 --rounds 5
//	./bench.bin peers --binary ./quorumta --share 0.7 --of postfix
//
// Peers and control groups want root; figures worth keeping, a quiet machine.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"quorumta/bench/fairness"
	"quorumta/bench/limits"
)

type cli struct {
	Load     loadCmd     `cmd:"" help:"Send numbered messages to the nodes of a relay."`
	Sink     sinkCmd     `cmd:"" help:"Take mail, count it, and misbehave on request."`
	Verdict  verdictCmd  `cmd:"" help:"Compare what was sent with what arrived."`
	Run      runCmd      `cmd:"" help:"Sink, load and verdict in one process."`
	Takeover takeoverCmd `cmd:"" help:"Kill or pause a node under load and see how soon its mail moves on."`
	Faults   faultsCmd   `cmd:"" help:"Do to a cluster under load what kills clusters, and judge."`
	Members  membersCmd  `cmd:"" help:"Have nodes join and leave while mail flows."`
	Rejoin   rejoinCmd   `cmd:"" help:"Wipe a node under full load and see what taking it back costs."`

	Fairness fairness.Command `cmd:"" help:"Whether a dead site, a slow one, or a mailing keeps other mail from going."`
	Limits   limits.Command   `cmd:"" help:"Whether a limit of the cluster holds while its leads move."`

	figures
}

// figures are the commands that measure speed and cost.
type figures struct {
	Memory   memoryCmd   `cmd:"" help:"What a large message and idle connections cost in memory."`
	Backlog  backlogCmd  `cmd:"" help:"Queue mail for hosts that refuse or are silent, then drain."`
	Accept   acceptCmd   `cmd:"" help:"How fast clusters accept, nothing leaving them."`
	Relay    relayCmd    `cmd:"" help:"How fast clusters relay, end to end."`
	Floor    floorCmd    `cmd:"" help:"The least that a relay with our promise can do: three synced logs, no more."`
	Cost     costCmd     `cmd:"" help:"What a message costs each node: processor time, writes, syncs, network, allocations."`
	Scale    scaleCmd    `cmd:"" help:"What a message costs clusters of 1 to 9 nodes."`
	Failover failoverCmd `cmd:"" help:"Rate and latency second by second while a node dies and comes back."`
	Depth    depthCmd    `cmd:"" help:"Rates of new mail beside 1,000 to 10 million queued messages."`
	Recovery recoveryCmd `cmd:"" help:"Kill with a full queue, start again: how soon is it at work?"`
	Peers    peersCmd    `cmd:"" help:"The same work for clusters and for other mail servers, in turn."`

	FloorNode floorNodeCmd `cmd:"" hidden:""`
}

// errVerdict: the relay broke its promise; the verdict has said how.
var errVerdict = errors.New("the verdict is: fail")

func main() {
	var c cli
	parser := kong.Must(&c, kong.Name("bench"), kong.Description("Load, sink and verdict for a mail relay."))
	k, err := parser.Parse(os.Args[1:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v (see bench --help)\n", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	k.BindTo(ctx, (*context.Context)(nil))
	err = k.Run()
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}
