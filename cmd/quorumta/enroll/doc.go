// Package enroll makes a machine a member of a running cluster.
//
// The newcomer draws a key and an incarnation and sends one Request to the
// cluster port of any member, which answers with one Answer (package
// cluster/wire carries both). What proves the newcomer is either a token, good
// once, that an operator drew on a member, or the certificate that it had in an
// earlier life. The member is known by the cluster's CA: from the token, which
// holds the SHA-256 of the CA's certificate, or from the newcomer's own files.
// Nothing is said before the member has shown a certificate of that CA.
package enroll
