// Package archtest holds the shape of the house as tests: which room may
// import which, which packages are pure, the limits on size, and that gofmt,
// go vet and staticcheck have nothing to say. It has no other code.
package archtest
