// Package netns makes the hosts of a laboratory on one machine: network
// namespaces on a bridge of their own, and what goes wrong between them.
//
// A host has one interface, eth0, with one address; the program that made the
// laboratory stands on the bridge and is the gateway. Packets are dropped and
// held back where they arrive, so that a way between two hosts can be cut in
// one direction alone, and so that who sends learns nothing of it.
//
// It needs root, iproute2 (ip), and iptables with the NFQUEUE target for what
// goes wrong. All names bear the process's id: laboratories stand side by side.
package netns
