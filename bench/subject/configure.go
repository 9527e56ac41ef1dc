package subject

import (
	"regexp"
	"strings"
)

// Configure adds settings to a configuration that init wrote: "SECTION.KEY:
// VALUE" at the beginning of a section that it has, everything else at the
// end.
func Configure(config []byte, settings ...string) []byte {
	for _, line := range settings {
		section, setting, ok := strings.Cut(line, ".")
		if at := sectionEnd(config, section); ok && at >= 0 {
			config = insert(config, at, "  "+setting+"\n")
			continue
		}
		config = insert(config, len(config), "\n"+line+"\n")
	}
	return config
}

// FirstRouter puts a router before all others: what stands after "- " in
// YAML's flow form.
func FirstRouter(config []byte, router string) []byte {
	at := sectionEnd(config, "routers")
	if at < 0 {
		return Configure(config, "routers:", "  - "+router)
	}
	return insert(config, at, "  - "+router+"\n")
}

// sectionEnd is where the line ends that begins a section of several lines; a
// comment may follow its name. -1: there is none.
func sectionEnd(config []byte, section string) int {
	found := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(section) + `:[ \t]*(#.*)?\n`).FindIndex(config)
	if found == nil {
		return -1
	}
	return found[1]
}

func insert(text []byte, at int, what string) []byte {
	return append(append(append([]byte(nil), text[:at]...), what...), text[at:]...)
}
