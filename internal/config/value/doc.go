// Package value holds the types of single values in the configuration: each is
// written as one text, and says itself how. The others are small sections of such
// values, which internal/config checks.
package value
