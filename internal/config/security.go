package config

// TLSReports has the owners of domains told how TLS with their hosts went.
type TLSReports struct {
	// From sends the reports; the zero Address means that there are none.
	From Address `yaml:"from"`
	// Contact is whom to ask about them; "" means From.
	Contact string `yaml:"contact"`
}

// security checks what a router says of TLS.
func (c *checker) security(path string, r *Router) {
	c.choice(path+".tls", r.TLS, "", "off", "try", "require", "verify")
	c.choice(path+".dane", r.DANE, "", "off", "on", "require")
	c.choice(path+".mta_sts", r.MTASTS, "", "off", "on")
	if r.TLS == "off" && (r.DANE == "on" || r.DANE == "require") {
		c.faultAt(path+".dane", "dane: "+r.DANE+" with tls: off is not possible", "DANE is about TLS: say tls: try")
	}
	if r.TLS == "off" && r.MTASTS == "on" {
		c.faultAt(path+".mta_sts", "mta_sts: on with tls: off is not possible", "MTA-STS is about TLS: say tls: try")
	}
	if r.MTASTS == "on" && r.MX == nil {
		c.faultAt(path+".mta_sts", "mta_sts: on needs mx", "a domain's policy is about its MX hosts; for hosts of your own say tls: verify")
	}
}

// UsesDANE is what the router makes of TLSA records: off, on or require.
func (r *Router) UsesDANE() string {
	switch {
	case r.TLS == "off":
		return "off"
	case r.DANE == "":
		return "on"
	}
	return r.DANE
}

// UsesMTASTS reports whether policies of domains hold.
func (r *Router) UsesMTASTS() bool { return r.MX != nil && r.TLS != "off" && r.MTASTS != "off" }

// tlsReports checks that there is somebody to ask.
func (c *checker) tlsReports() {
	if t := c.file.TLSReports; t.Contact != "" && t.From == (Address{}) {
		c.faultAt("tls_reports", "tls_reports needs from", "write from: tls-reports@corp.example, an address of a domain that is yours")
	}
}
