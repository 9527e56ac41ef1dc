package copies

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
)

// What is known of the key space of a shard: the first bytes of keys.
const (
	counters = 'a'
	content  = 'c'
	message  = 'm' // one row for each open message
)

// The form of a message's id: 20 characters, the last eight of them drawn.
const (
	idLength = 20
	drawn    = 8
	alphabet = "0123456789abcdefghjkmnpqrstvwxyz"
)

// Multiply writes a backup that is as another one, but for its messages: it has
// so many of them in all, copies of those. The messages of the other must be at
// rest: none is in flight, held or on its way in. Nothing is overwritten.
func Multiply(from, to string, count int64) error {
	header, sections, err := read(from)
	if err != nil {
		return err
	}
	out, err := create(to, header)
	if err != nil {
		return err
	}
	for i, s := range sections {
		share := count / int64(len(sections))
		if int64(i) < count%int64(len(sections)) {
			share++
		}
		if err := s.multiply(share, out); err != nil {
			return errors.Join(fmt.Errorf("section %d: %w", i+1, err), out.close())
		}
	}
	return out.close()
}

// multiply writes a section with so many messages.
func (s section) multiply(count int64, out *output) error {
	b, err := newBook(s.rows, count)
	if err != nil {
		return err
	}
	var pairs, size int64
	for _, g := range b.groups {
		g.each(b, func(times int64, r row) {
			pairs += times
			size += times * r.size()
		})
	}
	return out.section(s.header, pairs, size, func(pair func(row)) {
		for _, g := range b.groups {
			g.write(b, pair)
		}
	})
}

// twin is a copy of a message.
type twin struct {
	id [idLength]byte
	of int // number of the message
}

// book is what is to be written of a section.
type book struct {
	messages map[string]int // number of a message by its id
	twins    []twin         // ascending by id
	twinsOf  [][]int        // places in twins, ascending, by message
	groups   []group
}

// group is rows that follow each other and have the same bytes before the id;
// the copies of their messages stand there in the order of their ids.
type group struct {
	prefix []byte
	rows   map[int][]row // by message; their keys begin behind the id
	single row           // instead, a row that is about no message
}

func newBook(rows []row, count int64) (*book, error) {
	b := &book{messages: map[string]int{}}
	var ids []string
	for _, r := range rows {
		if r.key[0] == message && len(r.key) == 1+idLength {
			b.messages[string(r.key[1:])] = len(ids)
			ids = append(ids, string(r.key[1:]))
		}
	}
	if len(ids) == 0 {
		return nil, errors.New("it has no open message that could be copied")
	}
	b.draw(ids, count)
	b.sort(rows)
	return b, b.count()
}

// draw gives each copy an id: the beginning of some message's, so that copies
// of one message do not stand side by side and compress against each other, and
// an end of its own.
func (b *book) draw(ids []string, count int64) {
	b.twins = make([]twin, count)
	b.twinsOf = make([][]int, len(ids))
	for i := range b.twins {
		// Odd factors make permutations: no two copies get the same end.
		end := uint64(i) * 0x9e3779b97f4a7c15 & (1<<(5*drawn) - 1)
		t := &b.twins[i]
		t.of = i % len(ids)
		copy(t.id[:], ids[end%uint64(len(ids))])
		for j := range drawn {
			t.id[idLength-1-j] = alphabet[end>>(5*j)&31]
		}
	}
	slices.SortFunc(b.twins, func(x, y twin) int { return bytes.Compare(x.id[:], y.id[:]) })
	for i, t := range b.twins {
		b.twinsOf[t.of] = append(b.twinsOf[t.of], i)
	}
}

// sort makes the groups.
func (b *book) sort(rows []row) {
	for _, r := range rows {
		at, of := b.about(r.key)
		if at < 0 {
			b.groups = append(b.groups, group{single: r})
			continue
		}
		prefix := r.key[:at]
		last := len(b.groups) - 1
		if last < 0 || !bytes.Equal(b.groups[last].prefix, prefix) {
			b.groups = append(b.groups, group{prefix: prefix, rows: map[int][]row{}})
			last++
		}
		g := b.groups[last]
		g.rows[of] = append(g.rows[of], row{r.key[at+idLength:], r.value})
	}
}

// about is where a key has the id of a message, and of which; -1 if it has none.
func (b *book) about(key []byte) (at, of int) {
	for at := 1; at+idLength <= len(key); at++ {
		if n, ok := b.messages[string(key[at:at+idLength])]; ok {
			return at, n
		}
	}
	return -1, 0
}

// each calls f for each row of the group with the number of its copies.
func (g group) each(b *book, f func(times int64, r row)) {
	if g.rows == nil {
		f(1, g.single)
		return
	}
	whole := make([]byte, len(g.prefix)+idLength)
	for of, rows := range g.rows {
		for _, r := range rows {
			f(int64(len(b.twinsOf[of])), row{append(whole[:len(whole):len(whole)], r.key...), r.value})
		}
	}
}

// write gives pair the copies of the rows, ascending.
func (g group) write(b *book, pair func(row)) {
	if g.rows == nil {
		pair(g.single)
		return
	}
	var places []int
	for of := range g.rows {
		places = append(places, b.twinsOf[of]...)
	}
	slices.Sort(places)
	names := b.names()
	var key, value []byte
	for _, place := range places {
		t := &b.twins[place]
		for _, r := range g.rows[t.of] {
			key = append(append(append(key[:0], g.prefix...), t.id[:]...), r.key...)
			value = append(value[:0], r.value...)
			if g.prefix[0] != content { // it is as it was received, its digest is known
				rename(value, names[t.of], t.id[:])
			}
			pair(row{key, value})
		}
	}
}

// names are the ids of the messages by their number.
func (b *book) names() [][]byte {
	names := make([][]byte, len(b.messages))
	for id, n := range b.messages {
		names[n] = []byte(id)
	}
	return names
}

// rename puts one id in the place of another wherever it stands.
func rename(value, from, to []byte) {
	for at := bytes.Index(value, from); at >= 0; at = bytes.Index(value, from) {
		copy(value[at:], to)
		value = value[at+len(to):]
	}
}
