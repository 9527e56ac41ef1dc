// Package config reads the YAML file of a node: strictly (an unknown key is an
// error with file, line, column and a suggestion), completely (all errors at
// once, not the first alone), and with every expression compiled, so that what
// loads can run.
package config
