package route

import (
	"errors"
	"fmt"
	"strings"

	"quorumta/internal/policy"
)

// Affix is what may stand before and after a mailbox in a local-part, as the
// folder in user+folder. A router is asked without it; its expressions know it as
// rcpt.prefix and rcpt.suffix. The address stays what it is.
type Affix struct {
	// Prefixes and Suffixes are tried in order. One is a text, as "owner-" and
	// "-request", with a * at its outer end for any other text: "*-" takes up to
	// the first, "+*" from the first one on (Exim's local_part_prefix and
	// local_part_suffix).
	Prefixes, Suffixes []string
	// PrefixOptional and SuffixOptional have a router asked for local-parts
	// without one, too.
	PrefixOptional, SuffixOptional bool
}

func (a *Affix) check() error {
	for _, p := range a.Prefixes {
		if text := strings.TrimPrefix(p, "*"); text == "" || strings.Contains(text, "*") {
			return fmt.Errorf("prefix %q: a text is expected, with or without a * before it", p)
		}
	}
	for _, s := range a.Suffixes {
		if text := strings.TrimSuffix(s, "*"); text == "" || strings.Contains(text, "*") {
			return fmt.Errorf("suffix %q: a text is expected, with or without a * after it", s)
		}
	}
	if a.PrefixOptional && len(a.Prefixes) == 0 || a.SuffixOptional && len(a.Suffixes) == 0 {
		return errors.New("what is optional is missing")
	}
	return nil
}

// strip gives the facts without prefix and suffix; false if one is missing.
func (a *Affix) strip(f *policy.Facts) (*policy.Facts, bool) {
	if len(a.Prefixes) == 0 && len(a.Suffixes) == 0 {
		return f, true
	}
	stripped := *f
	local := f.Rcpt.Local
	if n := prefixLength(local, a.Prefixes); n > 0 {
		stripped.Prefix, local = local[:n], local[n:]
	} else if len(a.Prefixes) > 0 && !a.PrefixOptional {
		return nil, false
	}
	if n := suffixLength(local, a.Suffixes); n > 0 {
		local, stripped.Suffix = local[:len(local)-n], local[len(local)-n:]
	} else if len(a.Suffixes) > 0 && !a.SuffixOptional {
		return nil, false
	}
	stripped.Rcpt.Local = local
	return &stripped, true
}

// prefixLength is how long the prefix is that the local-part has; it leaves
// something of it.
func prefixLength(local string, prefixes []string) int {
	folded := strings.ToLower(local)
	if len(folded) != len(local) {
		folded = local
	}
	for _, p := range prefixes {
		text, wild := strings.CutPrefix(strings.ToLower(p), "*")
		at := 0
		if wild {
			at = strings.Index(folded, text)
		} else if !strings.HasPrefix(folded, text) {
			at = -1
		}
		if n := at + len(text); at >= 0 && n < len(local) {
			return n
		}
	}
	return 0
}

// suffixLength is how long the suffix is.
func suffixLength(local string, suffixes []string) int {
	folded := strings.ToLower(local)
	if len(folded) != len(local) {
		folded = local
	}
	for _, s := range suffixes {
		text, wild := strings.CutSuffix(strings.ToLower(s), "*")
		at := -1
		if wild {
			// Something is before it.
			if at = strings.Index(folded[min(1, len(folded)):], text); at >= 0 {
				at++
			}
		} else if strings.HasSuffix(folded, text) {
			at = len(folded) - len(text)
		}
		if at > 0 {
			return len(local) - at
		}
	}
	return 0
}

// Seen gives the facts of a recipient as a router's expressions see them, without
// prefix and suffix; they are what they were where there is no such router.
func (t *Table) Seen(router string, f *policy.Facts) *policy.Facts {
	if i, ok := t.index[router]; ok {
		if stripped, ok := t.routers[i].Affix.strip(f); ok {
			return stripped
		}
	}
	return f
}
