package copies

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// The fields of the row of counters that are known: all count.
const (
	countMessages = 1
	countHeld     = 2
	countInFlight = 3
	countContent  = 4 // bytes
	countUploads  = 5
	countFree     = 10 // of a suspended shard
)

// errCounters: the row of counters is another than this bench knows.
var errCounters = errors.New("the row of counters cannot be read")

// count gives the row of counters what is right for the copies.
func (b *book) count() error {
	var bytes int64
	for _, g := range b.groups {
		if g.rows != nil && g.prefix[0] == content {
			g.each(b, func(times int64, r row) { bytes += times * int64(len(r.value)) })
		}
	}
	for i := range b.groups {
		if g := &b.groups[i]; g.rows == nil && len(g.single.key) == 1 && g.single.key[0] == counters {
			var err error
			g.single.value, err = recount(g.single.value, int64(len(b.twins)), bytes)
			return err
		}
	}
	return errCounters
}

// recount is the row with other numbers of messages and of bytes of content.
func recount(value []byte, messages, content int64) ([]byte, error) {
	var out []byte
	for len(value) > 0 {
		number, kind, width := protowire.ConsumeTag(value)
		if width < 0 {
			return nil, errCounters
		}
		size := protowire.ConsumeFieldValue(number, kind, value[width:])
		if size < 0 {
			return nil, errCounters
		}
		field := value[:width+size]
		value = value[len(field):]
		switch number {
		case countMessages:
			field = protowire.AppendVarint(protowire.AppendTag(nil, number, kind), uint64(messages))
		case countContent:
			field = protowire.AppendVarint(protowire.AppendTag(nil, number, kind), uint64(content))
		case countHeld, countInFlight, countUploads, countFree:
			if n, _ := protowire.ConsumeVarint(field[width:]); n != 0 {
				return nil, fmt.Errorf("the messages are not at rest: counter %d is %d", number, n)
			}
		}
		if n, _ := protowire.ConsumeVarint(field[width:]); kind != protowire.VarintType || n != 0 { // zero is not written
			out = append(out, field...)
		}
	}
	return out, nil
}
