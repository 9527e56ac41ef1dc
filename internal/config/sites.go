package config

import "strconv"

// Site is a rule about sites: the first whose condition holds says what a site
// is given. Zero: no limit.
type Site struct {
	Name string `yaml:"name"`
	If   string `yaml:"if"`
	// Per is site or address: what has the limits, a site or the address that
	// mail leaves from.
	Per string `yaml:"per"`
	// Connections are those of all nodes together, PerNode those of each.
	Connections int `yaml:"connections"`
	PerNode     int `yaml:"per_node"`
	// The rates are those of all nodes together.
	MessagesPerMinute   int `yaml:"messages_per_minute"`
	MessagesPerHour     int `yaml:"messages_per_hour"`
	RecipientsPerMinute int `yaml:"recipients_per_minute"`
	// MessagesPerConnection and RecipientsPerMessage are the most of each.
	MessagesPerConnection int `yaml:"messages_per_connection"`
	RecipientsPerMessage  int `yaml:"recipients_per_message"`
}

func (c *checker) sites() {
	names := map[string]bool{}
	for i := range c.file.Sites {
		s := &c.file.Sites[i]
		path := "sites[" + strconv.Itoa(i) + "]"
		c.name(path, s.Name, names)
		if s.Per != "" {
			c.choice(path+".per", s.Per, "site", "address")
		}
		if c.file.env != nil {
			_, err := c.file.env.SiteCondition(s.If)
			c.compiled(path+".if", err)
		}
		for key, n := range map[string]int{
			"connections": s.Connections, "per_node": s.PerNode,
			"messages_per_minute": s.MessagesPerMinute, "messages_per_hour": s.MessagesPerHour,
			"recipients_per_minute":   s.RecipientsPerMinute,
			"messages_per_connection": s.MessagesPerConnection, "recipients_per_message": s.RecipientsPerMessage,
		} {
			if n < 0 {
				c.faultAt(path+"."+key, "a limit is a number above 0", "leave it away where there is none")
			}
		}
		if s.PerNode > 0 && s.Connections > 0 && s.PerNode > s.Connections {
			c.faultAt(path+".per_node", "a node cannot have more connections than all nodes together", "per_node: "+strconv.Itoa(s.Connections)+" at most")
		}
	}
}
