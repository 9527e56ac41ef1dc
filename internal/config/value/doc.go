// Package value holds the types of single values in the configuration: each is
// written as one text, and says itself how.
package value
