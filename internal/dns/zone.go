package dns

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// maxZoneRecords bounds what a zone file may bring into memory.
const maxZoneRecords = 100_000

// Zone is a part of the name space that is answered from a file, without a
// question: names of the inside that resolvers know differently, or of tests.
type Zone struct {
	// Name is where the zone begins; what is delegated below it is not of it.
	Name string
	// File is a master file (RFC 1035, section 5).
	File string
	// Secure has its answers count as validated.
	Secure bool
}

// zone is a Zone that has been read.
type zone struct {
	origin string
	secure bool
	// names are all that exist, with their records; those between a name and
	// the origin exist too, without records (RFC 8020).
	names map[string][]dns.RR
}

type zones map[string]*zone

// readZones reads the files.
func readZones(list []Zone) (zones, error) {
	out := zones{}
	for _, z := range list {
		read, err := readZone(z)
		if err != nil {
			return nil, fmt.Errorf("zone %s: %w", z.Name, err)
		}
		if out[read.origin] != nil {
			return nil, fmt.Errorf("zone %s is there twice", z.Name)
		}
		out[read.origin] = read
	}
	return out, nil
}

func readZone(o Zone) (*zone, error) {
	origin, err := absolute(o.Name)
	if err != nil {
		return nil, err
	}
	file, err := os.Open(o.File)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	z := &zone{origin: origin, secure: o.Secure, names: map[string][]dns.RR{origin: nil}}
	parser := dns.NewZoneParser(file, origin, o.File)
	parser.SetDefaultTTL(uint32(maxKeep / time.Second))
	count := 0
	for record, ok := parser.Next(); ok; record, ok = parser.Next() {
		if count++; count > maxZoneRecords {
			return nil, fmt.Errorf("%s has more than %d records", o.File, maxZoneRecords)
		}
		if err := z.add(record); err != nil {
			return nil, fmt.Errorf("%s: %w", o.File, err)
		}
	}
	return z, parser.Err()
}

func (z *zone) add(record dns.RR) error {
	h := record.Header()
	h.Name = strings.ToLower(h.Name)
	if h.Class != dns.ClassINET || !dns.IsSubDomain(z.origin, h.Name) {
		return fmt.Errorf("record %q is not of the zone %s", record, z.origin)
	}
	for _, other := range z.names[h.Name] {
		// RFC 2181, section 10.1: beside an alias there is nothing.
		if other.Header().Rrtype == dns.TypeCNAME || h.Rrtype == dns.TypeCNAME {
			return fmt.Errorf("%s is an alias and has other records, too", h.Name)
		}
	}
	z.names[h.Name] = append(z.names[h.Name], record)
	for name := h.Name; name != z.origin; {
		_, name, _ = strings.Cut(name, ".")
		if _, ok := z.names[name]; !ok {
			z.names[name] = nil
		}
	}
	return nil
}

// of returns the zone that a name is in, the deepest one; nil for names that
// are asked for.
func (z zones) of(name string) *zone {
	if len(z) == 0 {
		return nil
	}
	for rest := name; ; {
		if found := z[rest]; found != nil {
			if found.delegated(name) {
				return nil
			}
			return found
		}
		_, after, ok := strings.Cut(rest, ".")
		if !ok || after == "" {
			return nil
		}
		rest = after
	}
}

// delegated reports whether a name stands at or below a delegation.
func (z *zone) delegated(name string) bool {
	for ; name != z.origin; _, name, _ = strings.Cut(name, ".") {
		for _, record := range z.names[name] {
			if record.Header().Rrtype == dns.TypeNS {
				return true
			}
		}
	}
	return false
}

// find answers a question from the zone (RFC 1034, section 4.3.2).
func (z *zone) find(q question) step {
	found := step{end: q.name, secure: z.secure, keep: maxKeep}
	records, exists := z.names[q.name]
	if !exists {
		records, exists = z.wildcard(q.name)
	}
	if !exists {
		found.err = ErrNotFound
		return found
	}
	for _, record := range records {
		h := record.Header()
		if h.Rrtype == q.qtype {
			found.records = append(found.records, record)
		} else if alias, ok := record.(*dns.CNAME); ok {
			found.end = strings.ToLower(alias.Target)
		} else {
			continue
		}
		found.keep = min(found.keep, time.Duration(h.Ttl)*time.Second)
	}
	if len(found.records) == 0 && found.end == q.name {
		found.err = ErrNoData
	}
	return found
}

// wildcard finds the records that stand for a name that does not exist: those
// of the asterisk below its closest ancestor that does (RFC 4592).
func (z *zone) wildcard(name string) ([]dns.RR, bool) {
	for name != z.origin {
		_, name, _ = strings.Cut(name, ".")
		if _, ok := z.names[name]; ok {
			records, ok := z.names["*."+name]
			return records, ok
		}
	}
	return nil, false
}
