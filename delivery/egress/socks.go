package egress

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
)

// Socks is a SOCKS5 server (RFC 1928) that connects for us.
type Socks struct {
	Server netip.AddrPort
	// Weight is its share beside the others'; 0 means 1. When it does not
	// answer, or cannot reach a host, the others are asked.
	Weight int
	// User and Password log in (RFC 1929); "" where the server asks for nothing.
	User string
	// PasswordFile is read for every connection.
	PasswordFile string
}

// order is a random order of the servers in which the heavier ones come first
// more often, in proportion.
func order(servers []Socks) []int {
	score := make([]float64, len(servers))
	list := make([]int, len(servers))
	for i := range servers {
		score[i] = -float64(max(1, servers[i].Weight)) / math.Log(1-rand.Float64())
		list[i] = i
	}
	slices.SortFunc(list, func(a, b int) int {
		if score[a] > score[b] {
			return -1
		}
		return 1
	})
	return list
}

// The bytes of the protocol that are used.
const (
	socksVersion  = 5
	socksConnect  = 1
	socksIPv4     = 1
	socksName     = 3
	socksIPv6     = 4
	socksOpen     = 0
	socksPassword = 2
)

// connect has the server connect to an address.
func (s *Socks) connect(nc net.Conn, to netip.AddrPort) error {
	method := byte(socksOpen)
	if s.User != "" {
		method = socksPassword
	}
	if _, err := nc.Write([]byte{socksVersion, 1, method}); err != nil {
		return err
	}
	var chosen [2]byte
	if _, err := io.ReadFull(nc, chosen[:]); err != nil {
		return err
	}
	if chosen[0] != socksVersion || chosen[1] != method {
		return errors.New("it wants another login than we have")
	}
	if method == socksPassword {
		if err := s.login(nc); err != nil {
			return err
		}
	}
	request := []byte{socksVersion, socksConnect, 0}
	if addr := to.Addr().Unmap(); addr.Is4() {
		request = append(append(request, socksIPv4), addr.AsSlice()...)
	} else {
		request = append(append(request, socksIPv6), addr.AsSlice()...)
	}
	if _, err := nc.Write(binary.BigEndian.AppendUint16(request, to.Port())); err != nil {
		return err
	}
	return socksReply(nc)
}

// login gives user and password (RFC 1929, section 2).
func (s *Socks) login(nc net.Conn) error {
	password, err := ReadSecret(s.PasswordFile)
	if err != nil {
		return err
	}
	if len(s.User) > math.MaxUint8 || len(password) > math.MaxUint8 {
		return errors.New("user or password is longer than 255 octets")
	}
	said := append([]byte{1, byte(len(s.User))}, s.User...)
	said = append(append(said, byte(len(password))), password...)
	if _, err := nc.Write(said); err != nil {
		return err
	}
	var heard [2]byte
	if _, err := io.ReadFull(nc, heard[:]); err != nil {
		return err
	}
	if heard[1] != 0 {
		return errors.New("it refuses our login")
	}
	return nil
}

// socksReply reads what came of a request (RFC 1928, section 6), with the
// address behind it: the host's words follow.
func socksReply(nc net.Conn) error {
	var head [4]byte
	if _, err := io.ReadFull(nc, head[:]); err != nil {
		return err
	}
	reasons := [...]string{
		"", "general failure", "not allowed by its rules", "network unreachable", "host unreachable", "connection refused",
		"TTL expired", "command not supported", "address type not supported",
	}
	switch code := int(head[1]); {
	case head[0] != socksVersion:
		return errors.New("it does not speak SOCKS5")
	case code >= len(reasons):
		return fmt.Errorf("failure %d", code)
	case code != 0:
		return errors.New(reasons[code])
	}
	size := 0
	switch head[3] {
	case socksIPv4:
		size = net.IPv4len
	case socksIPv6:
		size = net.IPv6len
	case socksName:
		var n [1]byte
		if _, err := io.ReadFull(nc, n[:]); err != nil {
			return err
		}
		size = int(n[0])
	}
	_, err := io.CopyN(io.Discard, nc, int64(size+2))
	return err
}
