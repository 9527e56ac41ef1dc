package admin

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"quorumta/internal/admin/api"
	"quorumta/queue"
)

// Sites is what delivery knows of sites, for the server; every field is needed.
type Sites struct {
	// Key is the note of an order; false where there is no such subject. Parse is
	// its inverse.
	Key   func(subject, name string) (key string, ok bool)
	Parse func(key string) (subject, name string, ok bool)
	// Lessons is the prefix of the notes of what was learnt, Orders that of
	// orders.
	Lessons, Orders string
	// All lists this node's sites.
	All func() []api.Site
}

// OfferSites lets the server answer about sites.
func (s *Server) OfferSites(sites Sites) { s.sites = sites }

func (s *Server) siteList(_ context.Context, q *api.SitesRequest) (*api.Sites, error) {
	out := &api.Sites{Orders: []api.Order{}, Lessons: []api.Lesson{}, Sites: []api.Site{}}
	if s.sites.All == nil {
		return out, nil
	}
	var keys []string
	for _, x := range s.sites.All() {
		named := strings.EqualFold(x.Key, q.Name) || slices.ContainsFunc(x.Hosts, func(h string) bool { return strings.EqualFold(h, q.Name) })
		if named || q.Name == "" {
			out.Sites = append(out.Sites, x)
			keys = append(keys, x.Key)
		}
	}
	for _, n := range s.queue.Notes(s.sites.Orders) {
		subject, name, ok := s.sites.Parse(n.Key)
		if ok && (q.Name == "" || strings.EqualFold(name, q.Name)) {
			out.Orders = append(out.Orders, api.Order{
				Subject: subject, Name: name, By: n.By, Why: n.Why, At: api.Time{Time: n.At}, Until: maybe(n.Until),
			})
		}
	}
	for _, n := range s.queue.Notes(s.sites.Lessons) {
		if q.Name == "" || slices.Contains(keys, lessonSite(n)) {
			out.Lessons = append(out.Lessons, api.Lesson{Lesson: json.RawMessage(n.Value), At: api.Time{Time: n.At}, Until: maybe(n.Until)})
		}
	}
	return out, nil
}

// lessonSite is the key of the site that a lesson is about.
func lessonSite(n queue.Note) string {
	var about struct {
		Site string `json:"site"`
	}
	_ = json.Unmarshal([]byte(n.Value), &about)
	return about.Site
}

func (s *Server) siteOrder(ctx context.Context, q *api.OrderRequest) (*api.Done, error) {
	by := attributed(ctx, q.By)
	if by == "" {
		return nil, invalid("say by whom: it goes on record")
	}
	if s.sites.Key == nil {
		return nil, invalid("this node does not deliver")
	}
	key, ok := s.sites.Key(q.Subject, q.Name)
	if !ok || q.Name == "" {
		return nil, invalid("%q is nothing that can be suspended: site, sender, domain and login are, by name", q.Subject)
	}
	if !q.End {
		n := queue.Note{Key: key, By: by, Why: q.Why}
		if q.Until != nil {
			n.Until = q.Until.Time
		}
		return &api.Done{Count: 1}, s.queue.NoteBy(ctx, n)
	}
	done := &api.Done{}
	ends := []string{}
	if _, known := s.queue.Noted(key); known {
		ends = append(ends, key)
	}
	if q.Subject == "site" {
		list, err := s.siteList(ctx, &api.SitesRequest{Name: q.Name})
		if err != nil {
			return nil, err
		}
		for _, n := range s.queue.Notes(s.sites.Lessons) {
			site := lessonSite(n)
			if strings.EqualFold(site, q.Name) || slices.ContainsFunc(list.Sites, func(x api.Site) bool { return x.Key == site }) {
				ends = append(ends, n.Key)
			}
		}
	}
	for _, key := range ends {
		if err := s.queue.Unnote(ctx, key, by, q.Why); err != nil {
			return done, err
		}
		done.Count++
	}
	return done, nil
}
