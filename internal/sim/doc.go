// Package sim runs a whole cluster in one process and in virtual time
// (testing/synctest): an in-memory network whose links can be cut and whose
// hosts can be paused or die, and file systems that can lose power. It is
// imported by tests alone.
package sim
