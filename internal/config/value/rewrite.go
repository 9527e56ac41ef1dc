package value

// Rewrite is a rule for addresses.
type Rewrite struct {
	Name string `yaml:"name"`
	If   string `yaml:"if"`
	// To is an expression for the new address; "" leaves the old one.
	To string `yaml:"to"`
	// In are the places where the rule applies, one of Places each; none mean
	// headers and envelope.
	In []string `yaml:"in"`
	// Whole: To makes a display name, too.
	Whole bool `yaml:"whole"`
	// Repeat: the rule is asked again about what it has made.
	Repeat bool `yaml:"repeat"`
	// Stop: rules behind it are not asked when it has fitted.
	Stop bool `yaml:"stop"`
}

// Places are the names that may stand in Rewrite.In.
func (Rewrite) Places() []string {
	return []string{
		"from", "sender", "reply_to", "to", "cc", "bcc", "headers", "envelope_from", "envelope_to", "envelope", "smtp",
	}
}
