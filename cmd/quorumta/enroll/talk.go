package enroll

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
)

// answerLimit bounds an answer, bytes.
const answerLimit = 1 << 20

// talk sends a request and reads the answer, each behind its length, 4 bytes
// big-endian.
func talk(conn net.Conn, request []byte) ([]byte, error) {
	frame := binary.BigEndian.AppendUint32(nil, uint32(len(request)))
	if _, err := conn.Write(append(frame, request...)); err != nil {
		return nil, err
	}
	var head [4]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(head[:])
	if size > answerLimit {
		return nil, fmt.Errorf("an answer of %d bytes", size)
	}
	answer := make([]byte, size)
	_, err := io.ReadFull(conn, answer)
	return answer, err
}
