// Package members changes a cluster's size while mail flows: nodes join by
// token and leave for good, and what clients feel of it is measured.
//
// The clients are those of a relay list: they try the nodes on it in turn. A
// node comes on the list when it is ready, and goes off it when its process
// has ended, which is later than a careful operator would have it: until then
// it must send its clients on by itself.
package members
