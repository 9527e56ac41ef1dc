package value

// MX are the settings of MX routing: the domains are names of lists.
type MX struct {
	MXDomains        []string `yaml:"mx_domains"`
	MXFailDomains    []string `yaml:"mx_fail_domains"`
	FailDeferDomains []string `yaml:"fail_defer_domains"`
	// CheckSRV is the service whose SRV records come before MX records.
	CheckSRV         string `yaml:"check_srv"`
	CheckSecondaryMX bool   `yaml:"check_secondary_mx"`
}

// Redirect is files, lookups, or a text, with those who come in a recipient's place.
type Redirect struct {
	Files []string `yaml:"files"`
	// Lookups are names of the section lookups.
	Lookups []string `yaml:"lookups"`
	// Key and Data are texts.
	Key  string `yaml:"key"`
	Data string `yaml:"data"`
	// QualifyDomain is that of items without one.
	QualifyDomain string `yaml:"qualify_domain"`
	// PipeTransport and FileTransport are for items "|command" and "/file".
	PipeTransport string `yaml:"pipe_transport"`
	FileTransport string `yaml:"file_transport"`
	// Rewrite, unless false: the rules for addresses are asked about those that
	// come in the recipient's place.
	Rewrite *bool `yaml:"rewrite"`
}
