package enroll

import (
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
)

// serve answers at the desk until the test ends.
func (c *town) serve(config *tls.Config) {
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		c.t.Fatal(err)
	}
	c.address = l.Addr().String()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			c.one(conn)
		}
	}()
	c.t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
}

func (c *town) one(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	var head [4]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return
	}
	body := make([]byte, binary.BigEndian.Uint32(head[:]))
	if _, err := io.ReadFull(conn, body); err != nil {
		return
	}
	answer, err := c.desk.Handle(c.t.Context(), body)
	if err != nil {
		return
	}
	_, _ = conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(answer))), answer...))
}
