package faults

import (
	"context"
	"errors"

	"quorumta/bench/inject"
	"quorumta/bench/netns"
)

// fault is something that strikes a cluster.
type fault struct {
	name string
	// about says what happens, for a reader.
	about string
	needs need
	// strike does it, holds it for a while, and takes it back; nodes that it
	// leaves dead are started again by the round.
	strike func(ctx context.Context, r *round) error
}

// need is what a fault needs of the bed.
type need int

const (
	nothing    need = iota
	namespaces      // hosts, and a resolver
	disks           // file systems
	throttle        // and that they can be slowed
	clocks          // a process's clock can be moved
)

// missing says why a need is not met, nil where it is. A plain bed has neither
// hosts nor disks.
func (n need) missing(plain bool) error {
	if plain && (n == namespaces || n == disks || n == throttle) {
		return errors.New("the bed is a plain one")
	}
	switch n {
	case namespaces:
		return netns.Available()
	case disks:
		return inject.DisksAvailable()
	case throttle:
		return errors.Join(inject.DisksAvailable(), inject.ThrottleAvailable())
	case clocks:
		return inject.ClocksAvailable()
	}
	return nil
}

// table are all faults.
func table() []fault {
	return []fault{
		{"kill-leader", "SIGKILL to a node that leads a shard", nothing, killLeader},
		{"kill-follower", "SIGKILL to a node that leads nothing", nothing, killFollower},
		{"kill-majority", "SIGKILL to a majority", nothing, killMajority},
		{"kill-all", "SIGKILL to all nodes at once, which start again", nothing, killAll},
		{"pause-leader", "SIGSTOP to a leader, past its lease, then SIGCONT", nothing, pauseLeader},
		{"pause-often", "SIGSTOP to a leader for about as long as its lease, again and again", nothing, pauseOften},
		{"cut-off", "a leader is cut off from all other nodes, not from clients", namespaces, cutOff},
		{"cut-deaf", "a leader can send to the others and does not hear them", namespaces, cutDeaf},
		{"cut-mute", "a leader hears the others and cannot send to them", namespaces, cutMute},
		{"cut-one", "a leader is cut off from one other node", namespaces, cutOne},
		{"cut-all", "every node is cut off from every other", namespaces, cutAll},
		{"cut-flapping", "a leader is cut off and back again every second or so", namespaces, cutFlapping},
		{"delay", "every packet between nodes takes 50 to 60 ms", namespaces, delay},
		{"reorder", "packets between nodes take 1 to 30 ms and overtake each other", namespaces, reorder},
		{"loss", "one packet in ten between nodes is lost", namespaces, loss},
		{"disk-full", "a leader's disk has no byte left", disks, diskFull},
		{"disk-low", "a leader's disk is below the floor", disks, diskLow},
		{"disk-fails", "writes and syncs of a leader fail", disks, diskFails},
		{"disk-hangs", "writes and syncs of a leader hang", disks, diskHangs},
		{"disk-slow", "a leader's disk does 20 writes a second", throttle, diskSlow},
		{"power-one", "a leader loses power: what was not synced is gone", disks, powerOne},
		{"power-majority", "a majority loses power", disks, powerMajority},
		{"power-all", "all nodes lose power", disks, powerAll},
		{"clock-ahead", "a leader's clock jumps six days ahead, and back", clocks, clockAhead},
		{"clock-back", "a leader's clock jumps a day back, and ahead again", clocks, clockBack},
		{"dns-gone", "no resolver answers", namespaces, namesGone},
		{"remote-tarpit", "the next hop takes five seconds for a message", nothing, remoteTarpit},
		{"remote-silent", "the next hop takes connections and says nothing", nothing, remoteSilent},
		{"remote-4xx", "the next hop answers 451 to everything", nothing, remoteDefers},
		{"remote-closes", "the next hop takes messages and closes after the dot, three in ten", nothing, remoteCloses},
		{"rolling-restart", "SIGTERM to one node after the other, each started again", nothing, rollingRestart},
		{"disk-wiped", "a leader's data are gone; it is refused, and joins again", nothing, diskWiped},
		{"node-lags", "a node is down until it needs a snapshot", nothing, nodeLags},
		{"member-joins", "a new node joins, gets replicas, and leaves again", nothing, memberJoins},
	}
}

// Names are the faults' names.
func Names() []string {
	var names []string
	for _, f := range table() {
		names = append(names, f.name)
	}
	return names
}

// About says what happens in a fault; "" if there is none of that name.
func About(name string) string {
	for _, f := range table() {
		if f.name == name {
			return f.about
		}
	}
	return ""
}
