// Package value holds the types of single values in the configuration: each is
// written as one text, and says itself how. MX and Redirect are small sections of
// such values.
package value
