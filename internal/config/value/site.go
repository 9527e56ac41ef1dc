package value

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
	// Replies say what follows from servers' answers.
	Replies []SiteReply `yaml:"replies"`
}

// SiteReply is a pattern of negative replies, and what follows for a time: the
// first that matches counts.
type SiteReply struct {
	// Match is a regular expression, tried on "421 4.7.0 Too many connections".
	Match string `yaml:"match"`
	// Do is suspend, connections (no more than To) or slow (by Factor).
	Do     string   `yaml:"do"`
	To     int      `yaml:"to"`
	Factor float64  `yaml:"factor"`
	For    Duration `yaml:"for"`
}
