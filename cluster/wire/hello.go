package wire

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// hello is the first thing on a Raft connection:
//
//	version  1 byte, 1; never 'P', which begins HTTP/2
//	length   2 bytes, big endian, at most 1,024
//	hello    JSON
//
// The answer is one byte: a verdict.
type hello struct {
	Cluster string `json:"cluster"`
	Shard   uint16 `json:"shard"`
	// From and To are Raft ids, name/incarnation.
	From string `json:"from"`
	To   string `json:"to"`
}

const (
	helloVersion = 1
	helloLimit   = 1024
)

// verdict is the answer to a hello. The numbers must never change.
type verdict byte

const (
	welcome        verdict = 0
	foreignCluster verdict = 1
	foreignNode    verdict = 2 // not who was meant, or not who it says
	shardClosed    verdict = 3
)

// String says what the verdict means, for logs and errors.
func (v verdict) String() string {
	switch v {
	case welcome:
		return "welcome"
	case foreignCluster:
		return "another cluster's id"
	case foreignNode:
		return "another node or incarnation"
	case shardClosed:
		return "shard not open"
	}
	return fmt.Sprintf("verdict %d", byte(v))
}

func writeHello(w io.Writer, h hello) error {
	body, err := json.Marshal(h)
	if err != nil {
		return err
	}
	frame := binary.BigEndian.AppendUint16([]byte{helloVersion}, uint16(len(body)))
	_, err = w.Write(append(frame, body...))
	return err
}

func readHello(r io.Reader) (h hello, err error) {
	var head [3]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return h, err
	}
	size := binary.BigEndian.Uint16(head[1:])
	if head[0] != helloVersion || size > helloLimit {
		return h, errors.New("not a hello of version 1")
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(r, body); err != nil {
		return h, err
	}
	return h, json.Unmarshal(body, &h)
}

// welcome reads the hello of a connection and gives it to the shard's layer.
// name is the peer's by its certificate, "" without TLS; below is what lies
// below TLS.
func (p *Port) welcome(conn net.Conn, below *held, name string) {
	h, err := readHello(conn)
	if err != nil {
		p.refuse(conn, "bad hello", err)
		return
	}
	v, layer := p.judge(h, name)
	if v == welcome && !p.roster.own(below, nameOf(h.From)) {
		v = foreignNode
	}
	if _, err := conn.Write([]byte{byte(v)}); err != nil || v != welcome {
		p.refuse(conn, v.String(), err)
		return
	}
	_ = conn.SetDeadline(time.Time{})
	layer.take(conn, h.From)
}

func (p *Port) judge(h hello, name string) (verdict, *Layer) {
	from := nameOf(h.From)
	_, member := p.roster.address(from)
	switch {
	case h.Cluster != p.o.Cluster:
		return foreignCluster, nil
	case h.To != p.o.Self || !member || (name != "" && name != from):
		return foreignNode, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if layer := p.layers[h.Shard]; layer != nil {
		return welcome, layer
	}
	return shardClosed, nil
}

// greet says hello on a new connection and waits for the verdict.
func greet(conn net.Conn, h hello) error {
	if err := writeHello(conn, h); err != nil {
		return err
	}
	var answer [1]byte
	if _, err := io.ReadFull(conn, answer[:]); err != nil {
		return err
	}
	if v := verdict(answer[0]); v != welcome {
		return fmt.Errorf("refused: %s", v)
	}
	return nil
}

// nameOf is the name in a Raft id.
func nameOf(id string) string {
	name, _, _ := strings.Cut(id, "/")
	return name
}
