package api

import (
	"context"
	"encoding/json"
)

// Sites is what is known of sites: by all nodes, and by the one asked.
type Sites struct {
	// Orders are what operators have ordered to wait, Lessons what was learnt
	// from servers' answers; all nodes know them.
	Orders  []Order  `json:"orders"`
	Lessons []Lesson `json:"lessons"`
	// Sites are those of the node asked that have mail or connections, or that
	// were asked for.
	Sites []Site `json:"sites"`
}

// Order has mail wait.
type Order struct {
	// Subject is site, sender, domain or login; Name which one.
	Subject string `json:"subject"`
	Name    string `json:"name"`
	By      string `json:"by"`
	Why     string `json:"why,omitempty"`
	At      Time   `json:"at"`
	Until   *Time  `json:"until,omitempty"`
}

// Lesson is what was learnt about a site: site, rule, pattern, reply, and one of
// suspend, connections and factor.
type Lesson struct {
	Lesson json.RawMessage `json:"lesson"`
	At     Time            `json:"at"`
	Until  *Time           `json:"until,omitempty"`
}

// Site is where mail goes, as one node knows it.
type Site struct {
	Key   string   `json:"key"`
	Hosts []string `json:"hosts"`
	// Connections are open or being opened, of Limit that it would get now.
	Connections int `json:"connections"`
	Limit       int `json:"limit"`
	// Waiting are jobs of this node that wait for a connection.
	Waiting int `json:"waiting"`
	// Rules name those that hold for it; Share is this node's part of their
	// rates, 0 to 1, absent where none is shared.
	Rules []string `json:"rules,omitempty"`
	Share *float64 `json:"share,omitempty"`
	// Suspended is until when it rests because its hosts refuse, and Why.
	Suspended *Time  `json:"suspended,omitempty"`
	Why       string `json:"why,omitempty"`
	// Ordered: its mail waits by an order or a lesson.
	Ordered bool `json:"ordered,omitempty"`
}

// SitesRequest asks for all sites, or those with a name: a key, or a host's.
type SitesRequest struct {
	Name string `json:"name,omitempty"`
}

// OrderRequest gives an order, or ends one.
type OrderRequest struct {
	Subject string `json:"subject"`
	Name    string `json:"name"`
	// End ends the order; for a site its lessons too.
	End   bool   `json:"end,omitempty"`
	Until *Time  `json:"until,omitempty"`
	By    string `json:"by"`
	Why   string `json:"why,omitempty"`
}

// Sites asks what is known of sites.
func (c *Client) Sites(ctx context.Context, name string) (*Sites, error) {
	return call[SitesRequest, Sites](ctx, c, "SiteList", &SitesRequest{Name: name})
}

// Order gives or ends an order, and says how many notes that changed.
func (c *Client) Order(ctx context.Context, q OrderRequest) (int, error) {
	done, err := call[OrderRequest, Done](ctx, c, "SiteOrder", &q)
	if err != nil {
		return 0, err
	}
	return done.Count, nil
}
