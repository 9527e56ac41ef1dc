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
	// large: a lot is moved, which takes its time, and on a bed of its own: a
	// shard keeps its log for minutes after it has sent a snapshot.
	large bool
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
		{name: "kill-leader", about: "SIGKILL to a node that leads a shard", strike: killLeader},
		{name: "kill-follower", about: "SIGKILL to a node that leads nothing", strike: killFollower},
		{name: "kill-majority", about: "SIGKILL to a majority", strike: killMajority},
		{name: "kill-all", about: "SIGKILL to all nodes at once, which start again", strike: killAll},
		{name: "pause-leader", about: "SIGSTOP to a leader, past its lease, then SIGCONT", strike: pauseLeader},
		{name: "pause-often", about: "SIGSTOP to a leader for about as long as its lease, again and again", strike: pauseOften},
		{name: "cut-off", about: "a leader is cut off from all other nodes, not from clients", needs: namespaces, strike: cutOff},
		{name: "cut-deaf", about: "a leader can send to the others and does not hear them", needs: namespaces, strike: cutDeaf},
		{name: "cut-mute", about: "a leader hears the others and cannot send to them", needs: namespaces, strike: cutMute},
		{name: "cut-one", about: "a leader is cut off from one other node", needs: namespaces, strike: cutOne},
		{name: "cut-all", about: "every node is cut off from every other", needs: namespaces, strike: cutAll},
		{name: "cut-flapping", about: "a leader is cut off and back again every second or so", needs: namespaces, strike: cutFlapping},
		{name: "delay", about: "every packet between nodes takes 50 to 60 ms", needs: namespaces, strike: delay},
		{name: "reorder", about: "packets between nodes take 1 to 30 ms and overtake each other", needs: namespaces, strike: reorder},
		{name: "loss", about: "one packet in ten between nodes is lost", needs: namespaces, strike: loss},
		{name: "disk-full", about: "a leader's disk has no byte left", needs: disks, strike: diskFull},
		{name: "disk-low", about: "a leader's disk is below the floor", needs: disks, strike: diskLow},
		{name: "disk-fails", about: "writes and syncs of a leader fail", needs: disks, strike: diskFails},
		{name: "disk-hangs", about: "writes and syncs of a leader hang", needs: disks, strike: diskHangs},
		{name: "disk-slow", about: "a leader's disk does 20 writes a second", needs: throttle, strike: diskSlow},
		{name: "power-one", about: "a leader loses power: what was not synced is gone", needs: disks, strike: powerOne},
		{name: "power-majority", about: "a majority loses power", needs: disks, strike: powerMajority},
		{name: "power-all", about: "all nodes lose power", needs: disks, strike: powerAll},
		{name: "clock-ahead", about: "a leader's clock jumps six days ahead, and back", needs: clocks, strike: clockAhead},
		{name: "clock-back", about: "a leader's clock jumps a day back, and ahead again", needs: clocks, strike: clockBack},
		{name: "dns-gone", about: "no resolver answers", needs: namespaces, strike: namesGone},
		{name: "remote-tarpit", about: "the next hop takes five seconds for a message", strike: remoteTarpit},
		{name: "remote-silent", about: "the next hop takes connections and says nothing", strike: remoteSilent},
		{name: "remote-4xx", about: "the next hop answers 451 to everything", strike: remoteDefers},
		{name: "remote-closes", about: "the next hop takes messages and closes after the dot, three in ten", strike: remoteCloses},
		{name: "rolling-restart", about: "SIGTERM to one node after the other, each started again", strike: rollingRestart},
		{name: "disk-wiped", about: "a leader's data are gone; it is refused, and joins again", strike: diskWiped},
		{name: "disk-damaged", about: "a bit is flipped in a file of a leader that is down", strike: diskDamaged},
		{name: "node-lags", about: "a node is down until it needs a snapshot", strike: nodeLags, large: true},
		{name: "member-joins", about: "a new node joins, gets replicas, and leaves again", strike: memberJoins},
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
