// Package codec reads and writes structs in the protobuf wire format. A struct
// is described once, by a function that names its fields in ascending order;
// the same description writes and reads it.
//
// There is one encoding of a value and no other is read (it is canonical):
// fields ascend, varints are as short as they can be, what has its zero value
// is absent, and a field that the description does not name is an error. So
// equal values have equal bytes on every replica, and a new field is a new
// version of the format.
//
// It is pure: no clock, no random source, no goroutine, no I/O.
package codec
