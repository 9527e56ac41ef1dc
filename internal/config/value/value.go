package value

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Duration is a time.Duration written as 90s, 15m, 4h or 7d.
type Duration time.Duration

// Size is a number of bytes written as 512, 50KB, 50MB or 5GB, in powers of
// 1000.
type Size int64

// Prefix is a network or a single address.
type Prefix netip.Prefix

var (
	errDuration = errors.New("a duration is written as 90s, 15m, 4h or 7d")
	errSize     = errors.New("a size is written as 512, 50KB, 50MB or 5GB")
	errPrefix   = errors.New("a network is written as 10.20.0.0/16 or \"2001:db8::/32\", an address without the slash")
)

// Parse reads a number and a unit; units may follow each other (1h30m).
func (d *Duration) Parse(s string) error {
	v, err := ParseDuration(s)
	if err == nil {
		*d = Duration(v)
	}
	return err
}

// ParseDuration reads 90s, 15m, 4h, 7d or a sequence of such.
func ParseDuration(s string) (time.Duration, error) {
	if days, rest, ok := strings.Cut(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return 0, errDuration
		}
		more := time.Duration(0)
		if rest != "" {
			if more, err = time.ParseDuration(rest); err != nil || more < 0 {
				return 0, errDuration
			}
		}
		return time.Duration(n)*24*time.Hour + more, nil
	}
	v, err := time.ParseDuration(s)
	if err != nil || v < 0 {
		return 0, errDuration
	}
	return v, nil
}

// Parse reads what ParseSize does. What does not fit leaves the size as it was:
// a default has no other fault.
func (b *Size) Parse(s string) error {
	v, err := ParseSize(s)
	if err == nil {
		*b = v
	}
	return err
}

// String is the shortest form that parses to the size.
func (b Size) String() string {
	for _, unit := range []struct {
		size Size
		name string
	}{{1e12, "TB"}, {1e9, "GB"}, {1e6, "MB"}, {1e3, "KB"}} {
		if b >= unit.size && b%unit.size == 0 {
			return strconv.FormatInt(int64(b/unit.size), 10) + unit.name
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// ParseSize reads 512, 50KB, 50MB or 5GB.
func ParseSize(s string) (Size, error) {
	digits := strings.TrimRight(s, "kKMGTB")
	factor, ok := map[string]float64{"": 1, "B": 1, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}[s[len(digits):]]
	n, err := strconv.ParseFloat(digits, 64)
	if !ok || err != nil || !(n >= 0) || n*factor > math.MaxInt64/2 {
		return 0, errSize
	}
	return Size(n * factor), nil
}

// Parse reads a network or a single address.
func (p *Prefix) Parse(s string) error {
	if a, err := netip.ParseAddr(s); err == nil {
		*p = Prefix(netip.PrefixFrom(a, a.BitLen()))
		return nil
	}
	v, err := netip.ParsePrefix(s)
	if err != nil {
		return errPrefix
	}
	if v != v.Masked() {
		return fmt.Errorf("%s has bits beyond its length: %s is meant, or %s/%d", s, v.Masked(), v.Addr(), v.Addr().BitLen())
	}
	*p = Prefix(v)
	return nil
}
