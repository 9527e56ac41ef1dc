package config

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
)

// Warnings are what loads but is probably not meant, as file:line:column:
// what, hint.
func (f *File) Warnings() []string {
	var out []string
	for i, l := range f.Listeners {
		if l.Proxy != "" {
			continue
		}
		for _, balancers := range f.balancers() {
			for _, name := range slices.Sorted(maps.Keys(f.Nets)) {
				if name != balancers && overlap(f.Nets[name], f.Nets[balancers]) {
					out = append(out, fmt.Sprintf("%s: listener %d (%s) has no proxy, and nets.%s holds an address of nets.%s: behind a balancer every client would look trusted, set proxy: %s",
						f.path, i+1, l.Name, name, balancers, balancers))
				}
			}
		}
	}
	return append(out, f.dnsWarnings()...)
}

// balancers are the nets that some listener takes PROXY headers from, and one
// of that very name.
func (f *File) balancers() []string {
	names := map[string]bool{}
	if f.Nets["balancers"] != nil {
		names["balancers"] = true
	}
	for _, l := range f.Listeners {
		if l.Proxy != "" {
			names[l.Proxy] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

func overlap(a, b []Prefix) bool {
	for _, p := range a {
		for _, q := range b {
			if netip.Prefix(p).Overlaps(netip.Prefix(q)) {
				return true
			}
		}
	}
	return false
}
