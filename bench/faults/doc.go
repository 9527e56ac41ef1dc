// Package faults runs a cluster of real processes under load and does to it,
// one after the other and in a random sequence that a seed repeats, what kills
// real clusters.
//
// A bed is the cluster with what it stands on: a network namespace and a file
// system for each node, a resolver, a next hop. A round is one fault: load
// flows, the fault strikes, holds and is taken back, all mail is delivered,
// and what was acknowledged is compared with what arrived, with the cluster's
// in-doubt list, and every replica with the others. The bed goes on from round
// to round, so that a fault meets what the ones before it have left; after a
// round that the cluster did not recover from the next one gets a new bed.
//
// Where a machine lacks what a fault needs, the fault is left out, and the
// report says for want of what.
package faults
