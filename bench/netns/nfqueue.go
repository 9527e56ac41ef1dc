package netns

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// What linux/netfilter/nfnetlink_queue.h calls NFNL_SUBSYS_QUEUE, NFQNL_MSG_*,
// NFQA_* and NF_*.
const (
	subsystem = 3 << 8

	msgPacket  = subsystem
	msgVerdict = subsystem | 1
	msgConfig  = subsystem | 2

	configCommand = 1 // u8 command, u8, be16 protocol family
	configParams  = 2 // be32 bytes to copy, u8 what to copy
	configLength  = 3 // be32 packets

	attrPacket  = 1 // be32 id, be16 protocol, u8 hook
	attrVerdict = 2 // be32 verdict, be32 id

	commandBind  = 1
	copyMetadata = 1 // a queue that copies nothing drops everything

	verdictDrop, verdictAccept = 0, 1
)

// queueLength is how many packets may wait in the kernel.
const queueLength = 65536

// headers are those of netlink (16 bytes) and of nfnetlink (4).
const headers = 20

// queue is a netfilter queue of the namespace that it was opened in. One
// goroutine may read while another gives verdicts.
type queue struct {
	fd     int
	number uint16
}

// openQueue binds a queue.
func openQueue(number uint16) (*queue, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("netlink socket: %w", err)
	}
	q := &queue{fd: fd, number: number}
	length := binary.BigEndian.AppendUint32(nil, queueLength)
	err = errors.Join(
		unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}),
		// read looks up from time to time whether it is to end.
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 50_000}),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20),
		q.configure(configCommand, []byte{commandBind, 0, 0, 0}),
		q.configure(configParams, []byte{0, 0, 0, 0, copyMetadata}),
		q.configure(configLength, length),
	)
	if err != nil {
		q.close()
		return nil, err
	}
	return q, nil
}

func (q *queue) close() { _ = unix.Close(q.fd) }

// configure sends a setting and waits for the kernel's word.
func (q *queue) configure(attribute uint16, value []byte) error {
	if err := q.send(msgConfig, unix.NLM_F_ACK, attribute, value); err != nil {
		return err
	}
	b := make([]byte, 4096)
	n, _, err := unix.Recvfrom(q.fd, b, 0)
	if err != nil {
		return fmt.Errorf("answer to a setting: %w", err)
	}
	if n < 20 || binary.NativeEndian.Uint16(b[4:]) != unix.NLMSG_ERROR {
		return errors.New("answer to a setting: not understood")
	}
	if code := int32(binary.NativeEndian.Uint32(b[16:])); code != 0 {
		return fmt.Errorf("a setting was refused: %w", unix.Errno(-code))
	}
	return nil
}

// send sends a message with one attribute. Netlink's own numbers are in the
// machine's order, netfilter's in the network's.
func (q *queue) send(kind, flags, attribute uint16, value []byte) error {
	padded := (len(value) + 3) &^ 3
	b := make([]byte, 0, headers+4+padded)
	b = binary.NativeEndian.AppendUint32(b, uint32(headers+4+padded))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_REQUEST|flags)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0) // sequence, port
	b = append(b, unix.AF_UNSPEC, 0)      // version 0
	b = binary.BigEndian.AppendUint16(b, q.number)
	b = binary.NativeEndian.AppendUint16(b, uint16(4+len(value)))
	b = binary.NativeEndian.AppendUint16(b, attribute)
	b = append(b, value...)
	return unix.Sendto(q.fd, b[:cap(b)], 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
}

// read calls arrived with the id of every packet until ctx ends.
func (q *queue) read(ctx context.Context, arrived func(id uint32)) {
	b := make([]byte, 64<<10)
	for ctx.Err() == nil {
		n, _, err := unix.Recvfrom(q.fd, b, 0)
		if err != nil {
			continue // nothing came for a while, or more than there was room for
		}
		for m := b[:n]; len(m) >= headers; {
			length := int(binary.NativeEndian.Uint32(m))
			if length < headers || length > len(m) {
				break
			}
			if binary.NativeEndian.Uint16(m[4:]) == msgPacket {
				if id, ok := packetID(m[headers:length]); ok {
					arrived(id)
				}
			}
			m = m[min((length+3)&^3, len(m)):]
		}
	}
}

// packetID finds a packet's id among its attributes.
func packetID(b []byte) (uint32, bool) {
	for len(b) >= 4 {
		length := int(binary.NativeEndian.Uint16(b))
		if length < 4 || length > len(b) {
			return 0, false
		}
		if binary.NativeEndian.Uint16(b[2:])&0x3fff == attrPacket && length >= 8 {
			return binary.BigEndian.Uint32(b[4:]), true
		}
		b = b[min((length+3)&^3, len(b)):]
	}
	return 0, false
}

// verdict lets a packet go on, or drops it. One whose verdict does not reach
// the kernel is lost, as packets may be.
func (q *queue) verdict(id uint32, accept bool) {
	v := uint32(verdictDrop)
	if accept {
		v = verdictAccept
	}
	value := binary.BigEndian.AppendUint32(nil, v)
	_ = q.send(msgVerdict, 0, attrVerdict, binary.BigEndian.AppendUint32(value, id))
}
