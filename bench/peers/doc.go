// Package peers sets up other mail servers to do what a relay does: take all
// mail from loopback, store it durably where they can, and hand it to one next
// hop. Each is installed from its Debian package (Haraka from npm) into a room
// of its own, a layer over the machine's files that only its processes see, so
// that servers which exclude each other as packages can be measured in one run
// and the machine stays as it was.
package peers
