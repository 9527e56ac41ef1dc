// Package dane decides by TLSA records how mail may be given to a host (RFC
// 7672, with RFC 6698 and 7671).
//
// Find asks for the records of a host and makes a Policy of them: None where
// the host has no records that are secure, Encrypt where it has some of which
// none can be used (TLS is then demanded of a host whose name nobody can
// vouch for), Authenticate where its certificates must match a record. An
// error of Find is an answer that could not be had or believed: mail then
// waits, as it may never go on as if there were no records (RFC 7672, section
// 2.1.3). Policy.Verify judges the certificates of a connection, and says why.
//
// Everything but Find is a function of its arguments. All errors are *Error
// and carry the result type of RFC 8460, section 4.3.
package dane
