package header

import "strings"

// Texts are the fields of a header by their names in lower case, each unfolded; of
// a field that occurs several times, all with ", " between them. What follows an
// empty line is not looked at, and what is not UTF-8 stands as "?".
func Texts(header []byte) map[string]string {
	all := map[string]string{}
	last := ""
	for line := range strings.Lines(strings.ToValidUTF8(string(header), "?")) {
		line = strings.TrimRight(line, "\r\n")
		switch {
		case line == "":
			return all // what follows is the body
		case line[0] == ' ' || line[0] == '\t':
			if last != "" {
				all[last] = strings.TrimSpace(all[last] + " " + strings.TrimSpace(line))
			}
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		name, value = strings.ToLower(strings.TrimRight(name, " \t")), strings.TrimSpace(value)
		last = name
		switch before, again := all[name]; {
		case !ok:
			last = ""
		case again && before != "":
			all[name] = before + ", " + value
		default:
			all[name] = value
		}
	}
	return all
}
