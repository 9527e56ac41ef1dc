// Package clock judges whether a node's wall clock may decide about mail: a
// clock that jumps must not expire a queue (PROTOCOL 20).
package clock
