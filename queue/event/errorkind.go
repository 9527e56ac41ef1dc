package event

import "strconv"

// errorNames are the names of the kinds of errors, in commands and conditions.
var errorNames = [...]string{
	"", "routing", "connect", "tls", "timeout", "lost", "greeting", "sender", "recipient", "content", "internal",
	"refused", "timeout_connect", "auth_failed", "tls_required", "quota",
}

// String is the kind's name as operators see it; "" for none.
func (k ErrorKind) String() string {
	if int(k) < len(errorNames) {
		return errorNames[k]
	}
	return strconv.Itoa(int(k))
}
