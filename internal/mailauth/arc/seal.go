package arc

import (
	"strconv"
	"strings"
	"time"

	"quorumta/internal/mail/header"
	"quorumta/internal/mailauth/dkim"
)

// Sealable reports whether a set may be added: none is to a chain that was
// sealed as broken, or is as long as chains may be (RFC 8617, sections 4.2.1 and
// 5.1).
func (c *Chain) Sealable() bool { return c.broken != errFailed && c.highest < maxSets }

// Seal makes the set that goes before the header: its three fields. found is the
// state of the chain so far, bodyHash that of the body in the form
// s.Canon.Body. results are those of Authentication-Results that are to be
// believed, each "method=result …"; authserv is who has found them.
func (c *Chain) Seal(h header.Header, found Status, bodyHash []byte, authserv string, results []string, s dkim.Signature, now time.Time) (header.Header, error) {
	instance := c.highest + 1
	var next set
	next.results = resultsField(instance, authserv, found, results)
	var err error
	if next.message, err = s.Message(h, instance, bodyHash, now); err != nil {
		return nil, err
	}
	t := dkim.NewTags(sealName)
	t.Add("i", strconv.Itoa(instance))
	t.Add("a", s.Key.Algorithm())
	t.Add("t", strconv.FormatInt(now.Unix(), 10))
	t.Add("cv", string(found))
	t.Add("d", s.Domain)
	t.Add("s", s.Selector)
	sets := len(c.sets)
	if found == Fail {
		sets = 0 // what is broken is not sealed (section 5.1.2)
	}
	if next.seal, err = t.SignFields(s.Key, c.upTo(sets, &next)); err != nil {
		return nil, err
	}
	return header.Header{next.seal, next.message, next.results}, nil
}

// resultsField is ARC-Authentication-Results (RFC 8617, section 4.1.1).
func resultsField(instance int, authserv string, found Status, results []string) header.Field {
	value := "i=" + strconv.Itoa(instance) + "; " + authserv + ";\n arc=" + string(found)
	for _, r := range results {
		value += ";\n " + r
	}
	return header.Make(resultsName, value)
}

// Results are what the fields Authentication-Results say that come from one of
// the servers (RFC 8601, section 2.2), the topmost first, but for arc, which is
// judged anew. Who trusts a server has it take away what others claim in its
// name.
func Results(h header.Header, servers []string) []string {
	var list []string
	for _, f := range h.All("Authentication-Results") {
		parts := split(f.Text())
		id, _, _ := strings.Cut(strings.TrimSpace(parts[0]), " ")
		if !contains(servers, id) {
			continue
		}
		for _, part := range parts[1:] {
			part = strings.Join(strings.Fields(part), " ")
			if part != "" && part != "none" && !strings.HasPrefix(part, "arc=") {
				list = append(list, part)
			}
		}
	}
	return list
}

func contains(list []string, s string) bool {
	for _, have := range list {
		if strings.EqualFold(have, s) {
			return true
		}
	}
	return false
}

// split cuts a value at its semicolons that stand neither in quotes nor in a
// comment.
func split(s string) []string {
	var parts []string
	start, depth, quoted := 0, 0, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\':
			i++
		case c == '"' && depth == 0:
			quoted = !quoted
		case quoted:
		case c == '(':
			depth++
		case c == ')' && depth > 0:
			depth--
		case c == ';' && depth == 0:
			parts = append(parts, s[start:i])
			start = i + 1
		}
	}
	return append(parts, s[start:])
}
