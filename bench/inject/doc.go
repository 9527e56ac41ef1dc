// Package inject does to one node what the world does to machines: disks that
// fill up, fail, hang, crawl or lose power, clocks that jump, names that do
// not resolve.
//
// Every injector undoes what it did, and all of it at Close.
package inject
