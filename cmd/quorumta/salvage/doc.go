// Package salvage makes a new cluster of what is left of an old one, while
// nothing runs: from a backup, on each founder (Restore), or from the data of a
// survivor (Recover).
//
// Both build a new data directory inside the old one, in a folder of its own
// (renewal), and put it in place as the last step (settle). Until that step a
// node is as it was before, whatever interrupts them: a recovery folds the end
// of the log in a copy (likeness). In that step the node does not start, and the
// same command goes on where it was cut off; what it was to say is kept in a
// file (report). Shards begin behind a snapshot, under a lineage of their own
// (PROTOCOL 4), and what they hold waits until an operator lets it go: it may
// have been delivered.
package salvage
