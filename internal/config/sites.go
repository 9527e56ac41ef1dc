package config

import (
	"regexp"
	"strconv"

	"quorumta/internal/config/value"
)

// Site is a rule about sites, SiteReply a pattern of their answers.
type (
	Site      = value.Site
	SiteReply = value.SiteReply
)

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
		c.replies(path, s.Replies)
		if s.PerNode > 0 && s.Connections > 0 && s.PerNode > s.Connections {
			c.faultAt(path+".per_node", "a node cannot have more connections than all nodes together", "per_node: "+strconv.Itoa(s.Connections)+" at most")
		}
	}
}

func (c *checker) replies(path string, list []SiteReply) {
	for i := range list {
		r := &list[i]
		at := path + ".replies[" + strconv.Itoa(i) + "]"
		if _, err := regexp.Compile(r.Match); err != nil || r.Match == "" {
			c.faultAt(at+".match", strconv.Quote(r.Match)+" is no pattern of replies", `write a regular expression, as match: "^421 .*too many"`)
		}
		c.choice(at+".do", r.Do, "suspend", "connections", "slow")
		if r.For <= 0 {
			c.faultAt(at+".for", "for how long?", "write for: 30m")
		}
		if (r.Do == "connections") != (r.To > 0) {
			c.faultAt(at+".to", "to goes with do: connections, and is a number above 0", "write do: connections, to: 2")
		}
		if (r.Do == "slow") != (r.Factor > 0) || r.Factor >= 1 {
			c.faultAt(at+".factor", "factor goes with do: slow, and lies between 0 and 1", "write do: slow, factor: 0.5")
		}
	}
}
