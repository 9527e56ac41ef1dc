// Package local has what transports on this machine share: how a message reads
// there, and texts of the configuration with values of the recipient in them.
package local
