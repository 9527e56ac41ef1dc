package mtasts

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Why a TXT record names no policy.
var (
	// ErrNoRecord: the domain has no MTA-STS record, or several, which counts
	// as none (RFC 8461, section 3.1).
	ErrNoRecord = errors.New("no MTA-STS record")
	// ErrBadRecord: the one record there is cannot be read, which counts as
	// none, too; its owner may want to know.
	ErrBadRecord = errors.New("MTA-STS record cannot be read")
)

var (
	recordID    = regexp.MustCompile(`^[A-Za-z0-9]{1,32}$`)
	fieldName   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$`)
	recordValue = regexp.MustCompile(`^[\x21-\x3A\x3C\x3E-\x7E]+$`)
)

// recordVersion begins a record; case counts (RFC 8461, section 3.1).
const recordVersion = "v=STSv1"

// ParseRecord finds the id of the policy among the TXT records of
// _mta-sts.DOMAIN, each with its strings joined. Fields that this version does
// not know are ignored (RFC 8461, section 3.1).
func ParseRecord(texts []string) (id string, err error) {
	var record string
	n := 0
	for _, text := range texts {
		rest, ok := strings.CutPrefix(text, recordVersion)
		if ok && strings.HasPrefix(strings.TrimLeft(rest, " \t"), ";") {
			record = rest
			n++
		}
	}
	if n != 1 {
		return "", fmt.Errorf("%w (%d found)", ErrNoRecord, n)
	}
	fields := strings.Split(record, ";")
	if last := len(fields) - 1; strings.Trim(fields[last], " \t") == "" {
		fields = fields[:last]
	}
	for _, field := range fields[1:] {
		name, value, ok := strings.Cut(strings.Trim(field, " \t"), "=")
		switch {
		case !ok || !fieldName.MatchString(name) || !recordValue.MatchString(value):
			return "", fmt.Errorf("%w: field %.40q", ErrBadRecord, field)
		case name != "id" || id != "": // the first counts
		case !recordID.MatchString(value):
			return "", fmt.Errorf("%w: id %.40q", ErrBadRecord, value)
		default:
			id = value
		}
	}
	if id == "" {
		return "", fmt.Errorf("%w: it has no id", ErrBadRecord)
	}
	return id, nil
}
