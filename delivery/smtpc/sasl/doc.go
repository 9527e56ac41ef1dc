// Package sasl is the client's side of SASL (RFC 4422): what a client answers a
// server that wants to know who it is. It knows nothing of how challenges and
// responses travel.
//
// PLAIN (RFC 4616), LOGIN, XOAUTH2 and OAUTHBEARER (RFC 7628) hand the secret
// to the server: whoever uses them must know whom they talk to. SCRAM (RFC
// 5802, 7677) does not, makes the server prove that it knows the secret too,
// and with -PLUS ties the login to the TLS session, so that nobody between the
// two can pass it on.
package sasl
