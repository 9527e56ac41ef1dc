// Package permits divides limits that hold for a whole cluster among its nodes
// (PROTOCOL 35): how many connections each may have to a site, and what part
// of the site's rates is its own.
//
// A key has a home shard by hash, whose leader divides. A node asks it a few
// times a second about all keys that it uses at once; what it is given it holds
// for term, and renews long before. So no message waits for a call.
//
// What holds: the parts that a leader has given out and that may still be in
// use never exceed the whole. A node that gets less counts with what it had
// until it has said that it knows, or its time is over. A leader that has just
// taken office knows nothing: it asks all members what they hold, and where one
// does not answer waits until that is over (what is held is renewed meanwhile).
// An answer of a leader that was deposed is not believed.
//
// Without a leader nodes go on with what they hold. When that is over they wait
// as long again, and then use a fair part: the whole divided by the number of
// members. So the limit fails open, bounded: it is exceeded only while some
// nodes reach the leader and others do not.
package permits
