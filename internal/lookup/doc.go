// Package lookup asks directories outside about keys: databases by SQL, servers
// by LDAP. A Table is one question that the configuration names.
//
// An answer is one of three: texts, none, or an error, which says that nobody can
// tell now. An error is never taken for none: mail waits, and nothing bounces
// because a server is away. Answers are kept for a while, a key is asked about
// once at a time, and a server that fails is left alone for moments that grow, so
// that what hangs on it waits at once and not for a time-out each.
package lookup
