// Package tlsrpt counts how TLS went with the hosts of mail domains, and tells
// their owners once a day where they ask for it (RFC 8460).
//
// A Tally holds what was counted, by domain and day in UTC. A Reporter makes
// reports of days that are over: JSON, compressed, by mail or by HTTPS as the
// domain's TXT record at _smtp._tls wishes. A report that cannot be handed over
// is tried for another day and then forgotten; nothing depends on it.
package tlsrpt
