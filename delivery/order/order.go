// Package order knows what an operator has ordered, and what was learnt from
// servers' answers, about mail that is to wait: both are notes that all nodes
// share. An order is about a site, a sender, a recipient's domain or a login.
//
// Mail that an order is about is not claimed, uses up no retry step, and stays
// due.
package order

import (
	"encoding/json"
	"strings"
	"sync/atomic"
	"time"

	"quorumta/internal/mail"
)

// Subject is what an order is about.
type Subject string

// The subjects.
const (
	Site   Subject = "site"   // by its key, or a host's name
	Sender Subject = "sender" // an address, or all of a domain
	Domain Subject = "domain" // the recipient's
	Login  Subject = "login"
)

// Subjects are all of them.
var Subjects = []Subject{Site, Sender, Domain, Login}

// The prefixes of the notes' keys.
const (
	Suspensions = "suspend/"
	Lessons     = "learnt/"
)

// Key is the key of the note that suspends.
func Key(s Subject, name string) string {
	return Suspensions + string(s) + "/" + Name(name)
}

// Name is a name as orders have it: addresses and host names ignore case.
func Name(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// Parse is the inverse of Key.
func Parse(key string) (s Subject, name string, ok bool) {
	rest, ok := strings.CutPrefix(key, Suspensions)
	subject, name, found := strings.Cut(rest, "/")
	for _, s := range Subjects {
		if ok && found && string(s) == subject && name != "" {
			return s, name, true
		}
	}
	return "", "", false
}

// Lesson is what was learnt about a site.
type Lesson struct {
	Site string `json:"site"`
	// Rule and Pattern say by what, Reply what was answered.
	Rule    string `json:"rule"`
	Pattern string `json:"pattern"`
	Reply   string `json:"reply"`
	// Suspend has its mail wait; Connections is the most that it gets, Factor
	// what its rates are multiplied with. 0: it says nothing of that.
	Suspend     bool    `json:"suspend,omitempty"`
	Connections int     `json:"connections,omitempty"`
	Factor      float64 `json:"factor,omitempty"`
	// Until is when it is over.
	Until time.Time `json:"-"`
}

// Key is the note's: a later lesson of the same sort replaces an earlier one.
func (l *Lesson) Key() string {
	site := l.Site
	if len(site) > 400 { // what a note's key has room for
		site = site[:400]
	}
	return Lessons + l.Sort() + "/" + site
}

// Sort is suspend, connections or slow.
func (l *Lesson) Sort() string {
	switch {
	case l.Suspend:
		return "suspend"
	case l.Connections > 0:
		return "connections"
	}
	return "slow"
}

// Value is the note's.
func (l *Lesson) Value() string {
	b, _ := json.Marshal(l) // of plain fields
	return string(b)
}

// Note is a note, as far as orders look at it.
type Note struct {
	Key, Value string
	Until      time.Time
}

// orders are the notes, by what they are about. The value is when they end; the
// zero time: never.
type orders struct {
	about map[Subject]map[string]time.Time
	// lessons are those about a site.
	lessons map[string][]Lesson
}

// Book is the orders that are known; safe for concurrent use. While there are
// none, asking costs one atomic load.
type Book struct{ now atomic.Pointer[orders] }

// Set replaces all orders by those in the notes, and says when the first of them
// ends; the zero time: none does.
func (b *Book) Set(notes []Note) (ends time.Time) {
	o := &orders{about: map[Subject]map[string]time.Time{}, lessons: map[string][]Lesson{}}
	for _, n := range notes {
		switch s, name, ok := Parse(n.Key); {
		case ok:
			if o.about[s] == nil {
				o.about[s] = map[string]time.Time{}
			}
			o.about[s][name] = n.Until
		case strings.HasPrefix(n.Key, Lessons):
			var l Lesson
			if json.Unmarshal([]byte(n.Value), &l) != nil || l.Site == "" {
				continue // of another version
			}
			l.Until = n.Until
			o.lessons[l.Site] = append(o.lessons[l.Site], l)
		default:
			continue
		}
		if !n.Until.IsZero() && (ends.IsZero() || n.Until.Before(ends)) {
			ends = n.Until
		}
	}
	if len(o.about) == 0 && len(o.lessons) == 0 {
		o = nil
	}
	b.now.Store(o)
	return ends
}

// None reports whether there are no orders at all.
func (b *Book) None() bool { return b.now.Load() == nil }

func (o *orders) says(s Subject, name string, now time.Time) bool {
	until, ok := o.about[s][name]
	return ok && (until.IsZero() || now.Before(until))
}

// Mail is the key of the order by which mail of the sender and login to a domain
// is to wait; "": by none.
func (b *Book) Mail(sender mail.Address, login, domain string, now time.Time) (key string) {
	o := b.now.Load()
	switch {
	case o == nil:
	case login != "" && o.says(Login, Name(login), now):
		key = Key(Login, login)
	case o.says(Domain, Name(domain), now):
		key = Key(Domain, domain)
	case sender.Domain == "":
	case o.says(Sender, Name(sender.String()), now):
		key = Key(Sender, sender.String())
	case o.says(Sender, Name(sender.Domain), now):
		key = Key(Sender, sender.Domain)
	}
	return key
}

// Site is the key of the order, or of the lesson, by which the mail of a site is
// to wait, by its key or the name of one of its hosts; "": by none.
func (b *Book) Site(key string, hosts []string, now time.Time) (by string) {
	o := b.now.Load()
	if o == nil {
		return ""
	}
	for _, l := range o.lessons[key] {
		if l.Suspend && now.Before(l.Until) {
			return l.Key()
		}
	}
	for _, h := range hosts {
		if o.says(Site, Name(h), now) {
			return Key(Site, h)
		}
	}
	if o.says(Site, Name(key), now) {
		return Key(Site, key)
	}
	return ""
}

// Lessons are what was learnt about a site and is not over.
func (b *Book) Lessons(key string, now time.Time) []Lesson {
	o := b.now.Load()
	if o == nil {
		return nil
	}
	var list []Lesson
	for _, l := range o.lessons[key] {
		if now.Before(l.Until) {
			list = append(list, l)
		}
	}
	return list
}
