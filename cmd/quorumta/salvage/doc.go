// Package salvage makes a new cluster of what is left of an old one, while
// nothing runs: from a backup, on each founder (Restore), or from the data of a
// survivor (Recover).
//
// Both build a new data directory beside or inside the old one, in a folder of
// its own (renewal), and put it in place as the last step: whatever interrupts
// them, a node either is as it was before or has come to its end, and does not
// start in between. A recovery folds the log's tail into the old states first;
// from then on the old data are good for a recovery alone, and are marked so. Shards begin behind a snapshot, under a lineage of their
// own (PROTOCOL 4), and what they hold waits until an operator lets it go: it
// may have been delivered.
package salvage
