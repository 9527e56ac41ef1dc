package mail

import "strings"

// parseMailbox reads local-part "@" domain.
func parseMailbox(s string) (Address, error) {
	at := strings.LastIndexByte(s, '@')
	if at <= 0 || at == len(s)-1 {
		return Address{}, ErrBadAddress
	}
	return Address{Local: s[:at], Domain: strings.ToLower(s[at+1:])}, nil
}

func quoteLocal(s string) string { return s }

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
