// Package recent remembers the rows that the fold of a shard has written
// lately, so that neither the fold nor its office asks the store for what was
// written a moment ago, or for an id that was drawn a moment ago.
//
// What holds between two entries:
//
//   - a remembered row is what the state has under its key behind the newest
//     entry that was ended;
//   - above the floor of a prefix the state has no key with that prefix but
//     those that are remembered;
//   - when an entry does not follow upon the newest that was ended, nothing is
//     known: the state may have been restored in between, or a batch given up.
//
// Rows are dropped in the order of their writing, a generation at a time.
package recent
