package config

import (
	"slices"
	"strconv"

	"quorumta/internal/config/lookups"
)

// lookups checks the questions to directories.
func (c *checker) lookups() {
	names := map[string]bool{}
	for i := range c.file.Lookups {
		path := "lookups[" + strconv.Itoa(i) + "]"
		c.name(path, c.file.Lookups[i].Name, names)
		c.file.Lookups[i].Check(within{c, path})
	}
}

// hasLookup reports whether there is a lookup with the name.
func (f *File) hasLookup(name string) bool {
	return slices.ContainsFunc(f.Lookups, func(l lookups.Lookup) bool { return l.Name == name })
}
